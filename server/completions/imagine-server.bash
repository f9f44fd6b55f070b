# bash completion for imagine-server
_imagine_server() {
    local word=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --env-file) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --host) mapfile -t COMPREPLY < <(compgen -W '127.0.0.1 0.0.0.0 ::1 ::' -- "$word") ;;
    --port) ;;
    *) mapfile -t COMPREPLY < <(compgen -W '--port --host --env-file --check --version --help' -- "$word") ;;
    esac
}
complete -o filenames -F _imagine_server imagine-server
