#include <stdio.h>
#include <string.h>

#include "goodfs/recover.h"
#include "goodfs/server.h"

static int usage(FILE *out)
{
    (void)fprintf(
        out, "usage: goodfs server DIR [DIR ...] [options]   run the whole store in one process\n"
             "       goodfs server --help                    list the options\n"
             "       goodfs recover DIR [DIR ...] [options]  rebuild lost metadata from the disks\n"
             "       goodfs --version\n");
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "server") == 0) {
        return server_main(argc - 2, argv + 2);
    }
    if (argc >= 2 && strcmp(argv[1], "recover") == 0) {
        return recover_main(argc - 2, argv + 2);
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("goodfs %s\n", GFS_VERSION);
        return 0;
    }
    return usage(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
}
