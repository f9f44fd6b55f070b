/* main.c: the command imagine: libimagine for people and scripts. Only public headers are used, so
 * it is an example, too:
 *
 *   options.c  the command line            client.c   the client, as the settings have it
 *   input.c    prompts and pictures        server.c   a provider that is an imagine-server
 *   picture.c  generate, edit, upscale     output.c   files that appear whole
 *   look.c     models, tokens              say.c      results, failures, progress
 *   loop.c     turns and signals           exit_code.c  what a script is told
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands.h"
#include "exit_code.h"
#include "loop.h"
#include "say.h"

const command_t commands[] = {
    {"generate", "text2image", "[-m MODEL] [-o FILE] PROMPT…",
     "a picture from a prompt\n\n"
     "Without words the prompt is read from standard input. Without -o the file gets a name of\n"
     "its own, which is printed.",
     "moaznsTgNHLw", run_generate},
    {"models", NULL, "[WORD]…",
     "the models that can serve now\n\nOf those that hold all the words in id, kind or name.", "A",
     run_models},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

int main(int argc, char **argv) {
    static app_t app;
    int code = options_read(&app.options, argc, argv);
    if (code < 0) {
        app.is_terminal = isatty(STDERR_FILENO);
        code = loop_start() == 0 ? app.options.command->run(&app)
                                 : say_failure(&app, IMAGINE_EIO, NULL);
        app_close(&app);
    }
    if (loop_signal() != 0)
        code = CODE_SIGNAL + loop_signal();
    if (fflush(stdout) != 0 || ferror(stdout))
        code = code == 0 ? say_failure(&app, IMAGINE_EIO, "standard output: it cannot be written")
                         : code;
    return code;
}
