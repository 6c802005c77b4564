/* A change that was asked for once is not asked for again. */
#include "goodfs/admin_replay.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MINUTE (INT64_C(60) * 1000 * 1000 * 1000)

static struct admin_replay *replay;

static void begin(void)
{
    replay = admin_replay_new();
}

static void clear(void)
{
    admin_replay_free(replay);
}

static enum gfs_err note(unsigned number, int64_t now_ns)
{
    char signature[ADMIN_REPLAY_SIGNATURE_LEN + 1];
    (void)snprintf(signature, sizeof signature, "%064u", number);
    return admin_replay_note(replay, signature, now_ns);
}

TestSuite(admin_replay, .init = begin, .fini = clear);

Test(admin_replay, a_signature_is_good_once_as_long_as_it_could_be_used)
{
    cr_expect_eq(note(1, 0), GFS_OK);
    cr_expect_eq(note(2, MINUTE), GFS_OK);
    cr_expect_eq(note(1, 2 * MINUTE), GFS_EXISTS);
    cr_expect_eq(note(1, 30 * MINUTE), GFS_EXISTS);
    cr_expect_eq(note(2, 31 * MINUTE), GFS_EXISTS);
    cr_expect_eq(note(3, 31 * MINUTE), GFS_OK);
    cr_expect_eq(note(1, 31 * MINUTE), GFS_OK, "it is too old for its date to be accepted");
}

Test(admin_replay, a_full_table_takes_no_more_until_one_is_forgotten)
{
    for (unsigned i = 0; i < ADMIN_REPLAY_MAX; i++) {
        cr_assert_eq(note(i, i), GFS_OK);
    }
    cr_expect_eq(note(ADMIN_REPLAY_MAX, MINUTE), GFS_BUSY);
    cr_expect_eq(note(0, MINUTE), GFS_EXISTS);
    cr_expect_eq(note(ADMIN_REPLAY_MAX, 30 * MINUTE + 1), GFS_OK, "in the place of the first");
    cr_expect_eq(note(ADMIN_REPLAY_MAX, 30 * MINUTE + 1), GFS_EXISTS);
    cr_expect_eq(note(1, 30 * MINUTE + 1), GFS_EXISTS);
}
