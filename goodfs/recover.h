/* `goodfs recover DIR ...`: the metadata rebuilt from the disks, when it is lost. */
#pragma once

/* argv after "recover". Returns the exit status: 0 when it was rebuilt (what could not be proved is
 * in the report), 1 when it was not (the reason is on stderr), 2 for wrong usage. */
int recover_main(int argc, char **argv);
