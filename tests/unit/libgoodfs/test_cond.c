#include "libgoodfs/cond.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libgoodfs/clock.h"

#define MS_NS INT64_C(1000000)
#define HOUR_S 3600

/* What the clocks of this program are ahead of the machine's, in seconds: every reading goes
 * through the function below. */
static _Atomic int64_t wall_ahead_s, boot_ahead_s;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, ret);
    ret->tv_sec += clock == CLOCK_REALTIME ? atomic_load(&wall_ahead_s) : 0;
    ret->tv_sec += clock == CLOCK_BOOTTIME ? atomic_load(&boot_ahead_s) : 0;
    return rc;
}

struct rig {
    pthread_mutex_t lock;
    struct gfs_cond cond, arrived;
    int64_t until_ns; /* 0 = without a deadline */
    /* guarded by lock */
    int waiting, woken;
    bool is_set;
};

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.lock = PTHREAD_MUTEX_INITIALIZER};
    gfs_cond_init(&rig->cond);
    gfs_cond_init(&rig->arrived);
}

static void rig_fini(struct rig *rig)
{
    gfs_cond_fini(&rig->arrived);
    gfs_cond_fini(&rig->cond);
    pthread_mutex_destroy(&rig->lock);
}

/* Waits until ms from now, and nobody else is there; how long it took, in nanoseconds. */
static int64_t wait_alone(int64_t ms)
{
    struct rig rig;
    rig_init(&rig);
    pthread_mutex_lock(&rig.lock);
    int64_t begun_ns = gfs_monotonic_ns();
    int64_t until_ns = begun_ns + ms * MS_NS;
    while (gfs_cond_wait_until(&rig.cond, &rig.lock, until_ns)) {
        cr_assert_lt(gfs_monotonic_ns(), until_ns, "it was not told that the time has come");
    }
    int64_t took_ns = gfs_monotonic_ns() - begun_ns;
    pthread_mutex_unlock(&rig.lock);
    rig_fini(&rig);
    return took_ns;
}

static void *wait_until_set(void *arg)
{
    struct rig *rig = arg;
    bool is_woken = true;
    pthread_mutex_lock(&rig->lock);
    rig->waiting++;
    gfs_cond_signal(&rig->arrived);
    while (!rig->is_set && is_woken) {
        if (rig->until_ns == 0) {
            gfs_cond_wait(&rig->cond, &rig->lock);
        } else {
            is_woken = gfs_cond_wait_until(&rig->cond, &rig->lock, rig->until_ns);
        }
    }
    rig->woken += is_woken;
    pthread_mutex_unlock(&rig->lock);
    return NULL;
}

/* Starts the threads, and when all of them wait wakes them; how many were woken in time. */
static int wake_all(int count, int64_t until_ns, void (*wake)(struct gfs_cond *cond))
{
    struct rig rig;
    rig_init(&rig);
    rig.until_ns = until_ns;
    pthread_t threads[4];
    for (int i = 0; i < count; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, wait_until_set, &rig), 0);
    }
    pthread_mutex_lock(&rig.lock);
    while (rig.waiting < count) {
        gfs_cond_wait(&rig.arrived, &rig.lock);
    }
    rig.is_set = true;
    wake(&rig.cond);
    pthread_mutex_unlock(&rig.lock);
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    int woken = rig.woken;
    rig_fini(&rig);
    return woken;
}

Test(cond, a_deadline_in_the_past_is_told_at_once, .timeout = 60)
{
    cr_assert_lt(wait_alone(0), 1000 * MS_NS);
    cr_assert_lt(wait_alone(-1), 1000 * MS_NS);
    struct rig rig;
    rig_init(&rig);
    pthread_mutex_lock(&rig.lock);
    cr_assert_not(gfs_cond_wait_until(&rig.cond, &rig.lock, 0));
    cr_assert_not(gfs_cond_wait_until(&rig.cond, &rig.lock, INT64_MIN));
    pthread_mutex_unlock(&rig.lock);
    rig_fini(&rig);
}

Test(cond, a_wait_that_nobody_ends_lasts_until_its_deadline, .timeout = 60)
{
    int64_t took_ns = wait_alone(30);
    cr_assert_geq(took_ns, 30 * MS_NS);
    cr_assert_lt(took_ns, 30000 * MS_NS);
}

Test(cond, a_wall_clock_that_is_wrong_changes_no_wait, .timeout = 60)
{
    const int64_t ahead_s[] = {HOUR_S, -HOUR_S};
    for (int i = 0; i < 2; i++) {
        atomic_store(&wall_ahead_s, ahead_s[i]);
        int64_t took_ns = wait_alone(20);
        cr_assert_geq(took_ns, 20 * MS_NS);
        cr_assert_lt(took_ns, 30000 * MS_NS);
    }
}

Test(cond, time_that_the_machine_slept_before_does_not_lengthen_a_wait, .timeout = 60)
{
    atomic_store(&boot_ahead_s, HOUR_S);
    int64_t took_ns = wait_alone(20);
    cr_assert_geq(took_ns, 20 * MS_NS);
    cr_assert_lt(took_ns, 30000 * MS_NS);
}

Test(cond, a_signal_wakes_who_waits, .timeout = 60)
{
    cr_assert_eq(wake_all(1, 0, gfs_cond_signal), 1);
}

Test(cond, a_signal_wakes_who_waits_until_a_later_time, .timeout = 60)
{
    cr_assert_eq(wake_all(1, gfs_monotonic_ns() + HOUR_S * 1000 * MS_NS, gfs_cond_signal), 1);
}

Test(cond, the_latest_time_of_all_is_not_in_the_past, .timeout = 60)
{
    cr_assert_eq(wake_all(1, INT64_MAX, gfs_cond_signal), 1);
}

Test(cond, a_broadcast_wakes_everyone, .timeout = 60)
{
    cr_assert_eq(wake_all(4, 0, gfs_cond_broadcast), 4);
    cr_assert_eq(wake_all(4, gfs_monotonic_ns() + HOUR_S * 1000 * MS_NS, gfs_cond_broadcast), 4);
}
