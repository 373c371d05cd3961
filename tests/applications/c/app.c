/* An application on libfcgi: one request at a time on one connection at a time, in each worker.
 *
 * usage: app [WORKERS]   serves the listening socket it inherits as file descriptor 0.
 * A pattern's byte i is (seed + i) mod 251, as in harness/mod.rs. */

#include <fcgiapp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long number(const char *query, const char *name, long by_default)
{
    size_t len = strlen(name);
    while (query && *query) {
        if (strncmp(query, name, len) == 0 && query[len] == '=')
            return strtol(query + len + 1, NULL, 10);
        query = strchr(query, '&');
        if (query)
            query++;
    }
    return by_default;
}

static void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, (ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* Reads the whole body; answers with its length and hash (FNV-1a, 64 bits). */
static void echo(FCGX_Request *r)
{
    char buf[16384];
    int n;
    unsigned long long length = 0;
    uint64_t hash = 0xcbf29ce484222325u;
    while ((n = FCGX_GetStr(buf, sizeof buf, r->in)) > 0) {
        for (int i = 0; i < n; i++)
            hash = (hash ^ (unsigned char)buf[i]) * 0x100000001b3u;
        length += n;
    }
    FCGX_FPrintF(r->out, "Content-Type: text/plain\r\n\r\n");
    char line[64];
    snprintf(line, sizeof line, "length=%llu\nfnv1a64=%016llx\n", length, (unsigned long long)hash);
    FCGX_PutS(line, r->out);
}

static void big(FCGX_Request *r, long seed, long size)
{
    FCGX_FPrintF(r->out, "Content-Type: application/octet-stream\r\n\r\n");
    for (long i = 0; i < size; i++)
        FCGX_PutChar((int)((seed + i) % 251), r->out);
}

static void handle(FCGX_Request *r)
{
    const char *query = FCGX_GetParam("QUERY_STRING", r->envp);
    const char *uri = FCGX_GetParam("REQUEST_URI", r->envp);
    char path[64] = "";
    if (uri)
        snprintf(path, sizeof path, "%.*s", (int)strcspn(uri, "?"), uri);

    if (strcmp(path, "/echo") == 0) {
        echo(r);
    } else if (strcmp(path, "/big") == 0) {
        big(r, number(query, "seed", 0), number(query, "size", 0));
    } else if (strcmp(path, "/stderr") == 0) {
        FCGX_FPrintF(r->err, "a line for the error log\n");
        FCGX_FPrintF(r->out, "Content-Type: text/plain\r\n\r\nanswered\n");
    } else if (strcmp(path, "/early") == 0) {
        FCGX_FPrintF(r->out, "Content-Type: text/plain\r\n\r\nearly\n");
    } else if (strcmp(path, "/slow") == 0) {
        sleep_ms(number(query, "ms", 100));
        FCGX_FPrintF(r->out, "Content-Type: text/plain\r\n\r\nawake\n");
    } else if (strcmp(path, "/status") == 0) {
        FCGX_SetExitStatus((int)number(query, "code", 7), r->out);
        FCGX_FPrintF(r->out, "Content-Type: text/plain\r\n\r\nstatus set\n");
    } else {
        FCGX_FPrintF(r->out, "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno such path\n");
    }
}

static void serve(void)
{
    FCGX_Request request;
    FCGX_InitRequest(&request, 0, 0);
    while (FCGX_Accept_r(&request) == 0) {
        /* The exit status is not reset: libfcgi repeats it for later requests, which clients must bear. */
        handle(&request);
        FCGX_Finish_r(&request);
    }
}

int main(int argc, char **argv)
{
    int workers = argc > 1 ? atoi(argv[1]) : 1;
    if (FCGX_Init() != 0)
        return 1;
    fprintf(stderr, "ready\n");
    for (int i = 1; i < workers; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        }
    }
    serve();
    return 0;
}
