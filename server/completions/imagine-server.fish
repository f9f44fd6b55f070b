# fish completion for imagine-server
complete -c imagine-server -f
complete -c imagine-server -l port -x -d 'Listen on this port'
complete -c imagine-server -l host -x -a '127.0.0.1 0.0.0.0 ::1 ::' -d 'Listen on this address'
complete -c imagine-server -l env-file -r -F -d 'Read settings from this file'
complete -c imagine-server -l check -d 'Say what the settings are, and end'
complete -c imagine-server -l version -d 'Print the version, and end'
complete -c imagine-server -l help -d 'Print all settings, and end'
