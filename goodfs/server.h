/* `goodfs server DIR ...`: everything in one process. */
#pragma once

/* argv after "server". Returns the exit status: 0 after SIGTERM or SIGINT, 1 when it could not
 * start (the reason is on stderr), 2 for wrong usage. */
int server_main(int argc, char **argv);
