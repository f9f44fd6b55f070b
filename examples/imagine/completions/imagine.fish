# fish completion for imagine
set -l making generate edit text video upscale batch
set -l shaped generate edit video batch
set -l commands $making task models tokens
function __imagine_models
    imagine models 2>/dev/null | awk 'NR > 1 { printf "%s\t%s\n", $1, $2 }'
end
complete -c imagine -f
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a generate -d 'A picture from a prompt'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a edit -d 'A picture from pictures and a prompt'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a text -d 'A better prompt from a prompt'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a video -d 'A video from a prompt, or from a picture'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a task -d 'What a video that took too long has become'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a upscale -d 'A larger picture of a picture'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a batch -d 'A picture for each line of a file'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a models -d 'The models that can serve now'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a tokens -d 'The state of the tokens'
complete -c imagine -n "not __fish_seen_subcommand_from $commands" -a help -d 'Show help'
complete -c imagine -n "__fish_seen_subcommand_from $making" -s m -l model -x -a '(__imagine_models)' -d 'provider/model'
complete -c imagine -n "__fish_seen_subcommand_from generate edit video task upscale batch" -s o -l output -r -F -d 'Where it goes, - for standard output'
complete -c imagine -n "__fish_seen_subcommand_from edit video upscale" -s i -l image -r -F -d 'Picture that goes in'
complete -c imagine -n "__fish_seen_subcommand_from $shaped" -s a -l ar -x -a '1:1 16:9 9:16 4:3 3:4 3:2 2:3' -d 'Aspect ratio'
complete -c imagine -n "__fish_seen_subcommand_from $shaped" -l size -x -d 'Size in pixels, as 1024x768'
complete -c imagine -n "__fish_seen_subcommand_from generate edit video" -s n -l count -x -a '(seq 1 10)' -d 'So many pictures'
complete -c imagine -n "__fish_seen_subcommand_from $shaped" -l seed -x -d 'Seed'
complete -c imagine -n "__fish_seen_subcommand_from $shaped" -l steps -x -d 'Steps'
complete -c imagine -n "__fish_seen_subcommand_from $shaped" -l guidance -x -d 'Guidance'
complete -c imagine -n "__fish_seen_subcommand_from $shaped" -l negative -x -d 'What should not be seen'
complete -c imagine -n "__fish_seen_subcommand_from generate edit batch" -l hd -d 'Large pictures'
complete -c imagine -n "__fish_seen_subcommand_from generate edit batch" -l no-hd -d 'Small pictures'
complete -c imagine -n "__fish_seen_subcommand_from video" -l duration -x -d 'Seconds, 1 to 60'
complete -c imagine -n "__fish_seen_subcommand_from text" -l max-tokens -x -d 'Longest text'
complete -c imagine -n "__fish_seen_subcommand_from text" -l temperature -x -d 'How freely it writes'
complete -c imagine -n "__fish_seen_subcommand_from batch" -s j -l jobs -x -d 'So many at once'
complete -c imagine -n "__fish_seen_subcommand_from $making" -l wait -x -d 'How long to wait for a token, in seconds'
complete -c imagine -n "__fish_seen_subcommand_from models" -l all -d 'Also those that cannot serve now'
complete -c imagine -n "__fish_seen_subcommand_from upscale batch" -F
complete -c imagine -n "__fish_seen_subcommand_from tokens" -a 'gitee huggingface modelscope a4f modelslab gemini grok openai'
complete -c imagine -l timeout -x -d 'How long it may take in all, in seconds'
complete -c imagine -l json -d 'Say what came of it as JSON'
complete -c imagine -s q -l quiet -d 'No progress, no remarks'
complete -c imagine -s v -l verbose -d "The library's log, on standard error"
complete -c imagine -l server -x -d 'Ask this imagine-server'
complete -c imagine -l env-file -r -F -d 'Settings'
complete -c imagine -l catalogue -r -F -d 'The setting CATALOGUE'
complete -c imagine -l state-file -r -F -d 'The setting STATE_FILE'
complete -c imagine -s h -l help -d 'Show help'
complete -c imagine -l version -d 'Show the version'
