/* h2_server.c: starts node with the script below, which writes its port to a pipe. */
#include "support/h2_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/tcp_server.h"

static const char script[] =
    "const http2 = require('http2'), fs = require('fs');\n"
    "const [certFile, keyFile] = process.argv.slice(1);\n"
    "const server = http2.createSecureServer({cert: fs.readFileSync(certFile),\n"
    "  key: fs.readFileSync(keyFile), settings: {maxConcurrentStreams: 250}});\n"
    "const twice = {'X-Twice': ['one', 'two']};\n"
    "const refused = new Set();\n"
    "let sessions = 0;\n"
    "server.on('session', (session) => { sessions++; session.on('error', () => {}); });\n"
    "const ok = (stream) => { stream.respond({':status': 200, ...twice}); stream.end('hello'); };\n"
    "const text = (stream, body) => {\n"
    "  stream.respond({':status': 200, 'content-length': Buffer.byteLength(body)});\n"
    "  stream.end(body);\n"
    "};\n"
    "server.on('stream', (stream, headers) => {\n"
    "  const [, path, argument] = headers[':path'].split('/');\n"
    "  const pieces = [];\n"
    "  stream.on('error', () => {});\n"
    "  stream.on('data', (piece) => pieces.push(piece));\n"
    "  stream.on('end', () => {\n"
    "    if (stream.destroyed) return;\n"
    "    if (path === 'ok') ok(stream);\n"
    "    else if (path === 'echo') text(stream, headers[':method'] + ' ' + "
    "Buffer.concat(pieces));\n"
    "    else if (path === 'late') setTimeout(() => stream.destroyed || ok(stream), +argument);\n"
    "    else if (path === 'size') text(stream, Buffer.alloc(+argument));\n"
    "    else if (path === 'sessions') text(stream, String(sessions));\n"
    "    else if (path === 'status') {\n"
    "      stream.respond({':status': +argument, 'Location': '/ok'});\n"
    "      stream.end();\n"
    "    } else if (path === 'cut') {\n"
    "      stream.respond({':status': 200});\n"
    "      stream.write('hello', () => setTimeout(() => stream.session.destroy(), 20));\n"
    "    } else if (path === 'unended') {\n"
    "      stream.respond({':status': 200, 'content-length': 5});\n"
    "      stream.write('hello');\n"
    "    } else if (path === 'broken') stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);\n"
    "    else if (path === 'refused') {\n"
    "      if (refused.has(argument)) return ok(stream);\n"
    "      refused.add(argument);\n"
    "      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);\n"
    "    } else if (path === 'leaving') {\n"
    "      if (refused.has(argument)) return ok(stream);\n"
    "      refused.add(argument);\n"
    "      stream.session.goaway(0, stream.id - 2);\n"
    "      setTimeout(() => stream.session && stream.session.destroy(), 20);\n"
    "    } else if (path !== 'silent') { stream.respond({':status': 404}); stream.end(); }\n"
    "  });\n"
    "});\n"
    "server.listen(0, '127.0.0.1', () => console.log(server.address().port));\n"
    "process.stdin.on('end', () => process.exit()).resume();\n"; /* dies with us */

static pid_t node;
static int port;
static pid_t owner;

static void stop(void) {
    if (getpid() != owner)
        return; /* a forked test */
    kill(node, SIGKILL);
    waitpid(node, NULL, 0);
}

bool h2_server_open(void) {
    const char *certificate = tcp_server_certificate_file();
    const char *key = tcp_server_key_file();
    char text[16] = "";
    int in[2];
    int out[2];
    if (pipe(in) != 0 || pipe(out) != 0)
        abort();
    node = fork();
    if (node == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[1]);
        close(out[0]);
        execlp("node", "node", "-e", script, certificate, key, (char *)NULL);
        _exit(127);
    }
    close(in[0]); /* in[1] stays open until the process ends */
    close(out[1]);
    owner = getpid();
    if (read(out[0], text, sizeof(text) - 1) <= 0) {
        waitpid(node, NULL, 0);
        return false;
    }
    close(out[0]);
    port = (int)strtol(text, NULL, 10);
    atexit(stop);
    return true;
}

const char *h2_server_url(const char *path) {
    static char ring[8][128];
    static unsigned next;
    char *url = ring[next++ % 8];
    snprintf(url, sizeof(ring[0]), "https://127.0.0.1:%d%s", port, path);
    return url;
}
