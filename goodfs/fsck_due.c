#include "goodfs/fsck_due.h"

#include "libgoodfs/mem.h"

/* The least time between searches. A search that takes long waits for longer: twice what it took,
 * so that disks that come and go do not make it a permanent load. */
#define GAP_NS (INT64_C(2) * 1000 * 1000 * 1000)
#define FAILED_GAP_NS (INT64_C(60) * 1000 * 1000 * 1000)
#define AGAIN_NS (INT64_C(60) * 1000 * 1000 * 1000)
enum { GAP_FACTOR = 2 };

static bool has_losses(const struct fsck_due *due)
{
    return due->known.losses > 0 || due->known.has_damage;
}

void fsck_due_init(struct fsck_due *due, const struct fsck_known *known, int64_t first_ns,
                   int64_t period_ns)
{
    *due = (struct fsck_due){.known = *known,
                             .period_ns = period_ns,
                             .was_whole = true,
                             .period_at_ns = first_ns,
                             .gap_until_ns = INT64_MIN};
    due->again_at_ns = has_losses(due) ? INT64_MIN : INT64_MAX;
}

bool fsck_due_look(struct fsck_due *due, const struct fsck_look *look, int64_t now_ns)
{
    bool has_more_losses = look->losses > due->told_losses;
    bool are_back = has_losses(due) && !due->was_whole && look->is_whole;
    due->told_losses = GFS_MIN(due->told_losses, look->losses);
    for (size_t i = 0; i < FSCK_DISKS_MAX; i++) { /* one that is in use again may fail again */
        due->known.searched[i] = due->known.searched[i] && look->given_up[i];
    }
    bool is_wanted = has_more_losses || are_back || now_ns >= due->again_at_ns ||
                     (look->is_whole && fsck_due_is_unsure(due, look->given_up));
    return now_ns >= due->period_at_ns || (is_wanted && now_ns >= due->gap_until_ns);
}

void fsck_due_begin(struct fsck_due *due, const struct fsck_look *look, int64_t now_ns)
{
    memcpy(due->given_up, look->given_up, sizeof due->given_up);
    due->told_losses = look->losses;
    due->is_whole = look->is_whole;
    due->begun_ns = now_ns;
}

void fsck_due_end(struct fsck_due *due, bool is_good, uint64_t losses, bool has_damage,
                  int64_t now_ns)
{
    int64_t gap_ns = GFS_MAX(GAP_FACTOR * (now_ns - due->begun_ns), GAP_NS);
    if (is_good) {
        memcpy(due->known.searched, due->given_up, sizeof due->known.searched);
        due->known.losses = losses;
        due->known.has_damage = has_damage;
        due->was_whole = due->is_whole;
    } else {
        gap_ns = GFS_MAX(gap_ns, FAILED_GAP_NS);
    }
    due->gap_until_ns = now_ns + gap_ns;
    due->again_at_ns = has_losses(due) ? now_ns + AGAIN_NS : INT64_MAX;
    due->period_at_ns = now_ns + due->period_ns;
}

bool fsck_due_is_unsure(const struct fsck_due *due, const bool given_up[FSCK_DISKS_MAX])
{
    for (size_t i = 0; i < FSCK_DISKS_MAX; i++) {
        if (given_up[i] && !due->known.searched[i]) {
            return true;
        }
    }
    return false;
}
