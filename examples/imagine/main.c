/* main.c: the command imagine: libimagine for people and scripts. Only public headers are used, so
 * it is an example, too:
 *
 *   options.c  the command line            client.c   the client, as the settings have it
 *   input.c    prompts and pictures        server.c   a provider that is an imagine-server
 *   picture.c  generate, edit, upscale     output.c   files that appear whole
 *   text.c, video.c (task), batch.c        say.c      results, failures, progress
 *   look.c     models, tokens              loop.c     turns and signals
 *                                          exit_code.c  what a script is told
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "exit_code.h"
#include "loop.h"
#include "say.h"

#define MAKING "mow" /* letters of options, see options.c */

const command_t commands[] = {
    {"generate", "text2image", "[-m MODEL] [-o FILE] PROMPT…",
     "a picture from a prompt\n\n"
     "Without words the prompt is read from standard input. Without -o the file gets a name of\n"
     "its own, which is printed.",
     MAKING "aznsTgNHL", run_generate},
    {"edit", "image2image", "-i FILE… [-m MODEL] [-o FILE] PROMPT…",
     "a picture from pictures and a prompt\n\n"
     "Without words the prompt is read from standard input.",
     MAKING "aznsTgNHLi", run_edit},
    {"text", "text2text", "[-m MODEL] PROMPT…",
     "a better prompt from a prompt, as it comes\n\n"
     "Without words the prompt is read from standard input.",
     "mwxp", run_text},
    {"video", "text2video", "[-m MODEL] [-i FILE] [-o FILE] PROMPT…",
     "a video from a prompt, or from a picture (-i)\n\n"
     "Waits until it is done. Ctrl-C gives it up.",
     MAKING "aznsTgNid", run_video},
    {"task", NULL, "[-o FILE] TASK",
     "what a video that took too long has become\n\n"
     "Waits until it is done, as video does, with the settings that it was begun with.",
     "o", run_task},
    {"upscale", "upscaler", "[-m MODEL] [-o FILE] FILE", "a larger picture of a picture",
     MAKING "i", run_upscale},
    {"batch", "text2image", "[-m MODEL] [-j N] -o DIR FILE",
     "a picture for each line of a file, and no work twice\n\n"
     "Pictures go to the folder DIR, which is made if it is missing, named after their prompt and\n"
     "all that shapes them: what is there already is not made again, so the same command goes on\n"
     "where it was stopped. Empty lines and those that begin with # are skipped; - reads standard\n"
     "input. With --json there is a line of JSON for each picture, and one for all.",
     MAKING "azsTgNHLj", run_batch},
    {"models", NULL, "[WORD]…",
     "the models that can serve now\n\nOf those that hold all the words in id, kind or name.", "A",
     run_models},
    {"tokens", NULL, "[PROVIDER]…",
     "the state of the tokens, and until when\n\n"
     "A token is named by the first 12 digits of its SHA-256. Of a server this is for admins.",
     "", run_tokens},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

int main(int argc, char **argv) {
    static app_t app;
    int code = options_read(&app.options, argc, argv);
    if (code < 0) {
        const char *terminal = getenv("TERM");
        bool is_dumb = terminal != NULL && strcmp(terminal, "dumb") == 0; /* it wipes no line */
        app.is_terminal = isatty(STDERR_FILENO) && !is_dumb;
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
