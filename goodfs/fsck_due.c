#include "goodfs/fsck_due.h"

#include "libgoodfs/mem.h"

/* The least time between searches. A search that takes long waits for longer: twice what it took,
 * so that disks that come and go do not make it a permanent load. */
#define GAP_NS (INT64_C(2) * 1000 * 1000 * 1000)
#define FAILED_GAP_NS (INT64_C(60) * 1000 * 1000 * 1000)
#define AGAIN_NS (INT64_C(60) * 1000 * 1000 * 1000)
enum { GAP_FACTOR = 2 };

/* What was leaving and is gone was emptied before. */
static bool has_given_up(const uint8_t before[FSCK_DISKS_MAX], const uint8_t now[FSCK_DISKS_MAX])
{
    for (size_t i = 0; i < FSCK_DISKS_MAX; i++) {
        bool was_out = before[i] == FSCK_DISK_FAILED || before[i] == FSCK_DISK_GONE;
        bool is_out = now[i] == FSCK_DISK_FAILED || now[i] == FSCK_DISK_GONE;
        bool is_emptied = now[i] == FSCK_DISK_GONE && before[i] == FSCK_DISK_LEAVING;
        if (is_out && !was_out && !is_emptied) {
            return true;
        }
    }
    return false;
}

void fsck_due_init(struct fsck_due *due, const struct fsck_look *look, int64_t first_ns,
                   int64_t period_ns)
{
    *due = (struct fsck_due){.period_ns = period_ns,
                             .is_unsure = !look->is_whole,
                             .was_whole = true,
                             .period_at_ns = first_ns,
                             .gap_until_ns = INT64_MIN,
                             .again_at_ns = INT64_MAX};
    memcpy(due->disks, look->disks, sizeof due->disks);
    for (size_t i = 0; i < FSCK_DISKS_MAX; i++) {
        due->is_unsure = due->is_unsure || look->disks[i] == FSCK_DISK_FAILED;
    }
}

bool fsck_due_look(struct fsck_due *due, const struct fsck_look *look, int64_t now_ns)
{
    bool has_more_losses = look->losses > due->known_losses;
    bool are_back = due->has_losses && !due->was_whole && look->is_whole;
    due->known_losses = GFS_MIN(due->known_losses, look->losses);
    due->is_unsure = fsck_due_is_unsure(due, look->disks);
    memcpy(due->disks, look->disks, sizeof due->disks);
    bool is_wanted = has_more_losses || are_back || now_ns >= due->again_at_ns ||
                     (due->is_unsure && look->is_whole);
    return now_ns >= due->period_at_ns || (is_wanted && now_ns >= due->gap_until_ns);
}

void fsck_due_begin(struct fsck_due *due, const struct fsck_look *look, int64_t now_ns)
{
    due->is_unsure = fsck_due_is_unsure(due, look->disks);
    memcpy(due->disks, look->disks, sizeof due->disks);
    due->known_losses = look->losses;
    due->is_whole = look->is_whole;
    due->begun_ns = now_ns;
}

void fsck_due_end(struct fsck_due *due, bool is_good, uint64_t losses, int64_t now_ns)
{
    int64_t gap_ns = GFS_MAX(GAP_FACTOR * (now_ns - due->begun_ns), GAP_NS);
    if (is_good) {
        due->is_unsure = false;
        due->was_whole = due->is_whole;
        due->has_losses = losses > 0;
    } else {
        gap_ns = GFS_MAX(gap_ns, FAILED_GAP_NS);
    }
    due->gap_until_ns = now_ns + gap_ns;
    due->again_at_ns = due->has_losses ? now_ns + AGAIN_NS : INT64_MAX;
    due->period_at_ns = now_ns + due->period_ns;
}

bool fsck_due_is_unsure(const struct fsck_due *due, const uint8_t disks[FSCK_DISKS_MAX])
{
    return due->is_unsure || has_given_up(due->disks, disks);
}
