# bash completion for imagine: options are those that the command itself tells.
_imagine() {
    local word=${COMP_WORDS[COMP_CWORD]} commands='generate edit text video task upscale batch models tokens' command='' each
    COMPREPLY=()
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $command == '' && " $commands " == *" $each "* ]] && command=$each
    done
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    -m | --model)
        mapfile -t COMPREPLY < <(compgen -W "$(imagine models 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")
        return
        ;;
    -a | --ar) mapfile -t COMPREPLY < <(compgen -W '1:1 16:9 9:16 4:3 3:4 3:2 2:3' -- "$word") && return ;;
    --size | -n | --count | --seed | --steps | --guidance | --negative | --duration | --max-tokens | --temperature | -j | --jobs | --wait | --timeout | --server) return ;;
    -o | --output | -i | --image | --env-file | --catalogue | --state-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(imagine ${command:+"$command"} --help 2>/dev/null | grep -oE -- '--[a-z-]+')" -- "$word")
    elif [[ $command == '' ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands help" -- "$word")
    elif [[ $command == @(upscale|batch) ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    elif [[ $command == tokens ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'gitee huggingface modelscope a4f modelslab gemini grok openai' -- "$word")
    fi
}
complete -o filenames -F _imagine imagine
