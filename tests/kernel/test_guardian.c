/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guardian: what a pause stopped goes on when the agent is killed, hangs or forgets it, and nothing of ours is left. */
#include "tests/kernel/inbox.h"

#include <sys/syscall.h>

#include "lib/clock.h"
#include "tests/kernel/state.h"
#include "tfj/guardian.h"

#define MS (CLOCK_SECOND_NS / 1000)

static struct cgroup cgroup;
static int lines[2]; /* from the agent that a test kills */

static void setup(void)
{
	struct error e = { "" };

	inbox_setup();
	ck_assert_msg(cgroup_open(&cgroup, inbox_root.path, &e) == 0, "%s", e.text);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* a guardian, which is nobody's child, becomes ours: we can wait for its end */
	ck_assert_int_eq(pipe2(lines, O_CLOEXEC), 0);
}

static void teardown(void)
{
	ck_assert_int_eq(cgroup_kill(&cgroup), 0);
	ck_assert_int_eq(cgroup_wait_empty(&cgroup, 10000), 0);
	while (waitpid(-1, NULL, 0) > 0)
		;
	ck_assert_int_eq(cgroup_remove(&cgroup), 0);
	inbox_teardown();
}

/* Check's time limit is the only one. */
static void wait_state(pid_t pid, bool stopped)
{
	char state;

	do {
		state = process_state(pid);
		ck_assert_int_ne(state, '-');
	} while ((state == 'T') != stopped && !usleep(1000));
}

/* A program in the cgroup (or a part of it) that sleeps. */
static pid_t sleeper_start(const char *part)
{
	char path[400];
	pid_t pid = inbox_fork();
	FILE *f;

	if (pid == 0) {
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "%s/%s", cgroup.claim.path, part);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%s/cgroup.procs", cgroup.claim.path, part);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%d\n", pid);
	ck_assert_int_eq(fclose(f), 0);
	return pid;
}

static void stop(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	wait_state(pid, true);
}

/* An agent that guards the cgroup for lease_ns and then does nothing. Its pid. */
static pid_t agent_start(uint64_t lease_ns)
{
	struct guardian *guardian;
	struct error e = { "" };
	pid_t pid = inbox_fork();
	char byte;

	if (pid == 0) {
		if (guardian_open(&guardian, &e) < 0 ||
		    guardian_watch(guardian, cgroup.claim.fd, clock_monotonic_ns() + lease_ns) < 0)
			_exit(1);
		if (write(lines[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(lines[0], &byte, 1), 1);
	return pid;
}

/* The one child that is neither of these: the guardian. Ended it is found as well. */
static pid_t guardian_pid(pid_t one, pid_t two)
{
	FILE *f = fopen("/proc/thread-self/children", "re");
	int pid, found = 0;

	ck_assert_ptr_nonnull(f);
	while (fscanf(f, "%d", &pid) == 1)
		if (pid != one && pid != two)
			found = pid;
	fclose(f);
	ck_assert_int_gt(found, 0);
	return found;
}

static void wait_end(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the guardian ended with %#x", status);
}

static void kill_agent(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* SIGKILL of the agent: a stopped process goes on, also one of a cgroup below; the guardian ends with the lease. */
START_TEST(killed)
{
	pid_t sleeper = sleeper_start(_i ? "below" : ""), agent = agent_start(400 * MS), guardian;
	uint64_t from = clock_monotonic_ns();

	guardian = guardian_pid(sleeper, agent);
	stop(sleeper);
	kill_agent(agent);
	wait_state(sleeper, false);
	wait_end(guardian);
	ck_assert_uint_ge(clock_monotonic_ns() - from, 300 * MS); /* until then the kernel could still stop one, see below */
}
END_TEST

/* What the kernel stops after the agent's death, but within the lease, goes on, too. */
START_TEST(killed_before)
{
	pid_t sleeper = sleeper_start(""), agent = agent_start(CLOCK_SECOND_NS), guardian = guardian_pid(sleeper, agent);

	kill_agent(agent);
	ck_assert_int_eq(kill(sleeper, SIGSTOP), 0);
	wait_state(sleeper, false);
	ck_assert_int_eq(waitpid(guardian, NULL, WNOHANG), 0);
	ck_assert_int_eq(kill(sleeper, SIGSTOP), 0);
	wait_state(sleeper, false);
	wait_end(guardian);
	wait_state(sleeper, false);
}
END_TEST

/* When nothing lives in the cgroup any more, the guardian does not wait for its lease. */
START_TEST(killed_all)
{
	pid_t sleeper = sleeper_start(""), agent = agent_start(1000 * CLOCK_SECOND_NS), guardian = guardian_pid(sleeper, agent);

	stop(sleeper);
	kill(sleeper, SIGKILL);
	ck_assert_int_eq(waitpid(sleeper, NULL, 0), sleeper);
	kill_agent(agent);
	wait_end(guardian);
}
END_TEST

/* An agent that hangs does not renew its lease: what is stopped goes on. The guardian stays as long as the agent. */
START_TEST(hangs)
{
	pid_t sleeper = sleeper_start(""), agent = agent_start(100 * MS), guardian = guardian_pid(sleeper, agent);

	ck_assert_int_eq(kill(sleeper, SIGSTOP), 0);
	ck_assert_int_eq(kill(agent, SIGSTOP), 0);
	wait_state(sleeper, false);
	ck_assert_int_eq(waitpid(guardian, NULL, WNOHANG), 0);
	kill_agent(agent);
	wait_end(guardian);
}
END_TEST

/* Signals that end others do not end it: a service manager sends them to all processes of a service. */
START_TEST(signals)
{
	pid_t sleeper = sleeper_start(""), agent = agent_start(300 * MS), guardian = guardian_pid(sleeper, agent);

	stop(sleeper);
	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			kill(guardian, i);
	kill_agent(agent);
	wait_state(sleeper, false);
	wait_end(guardian);
}
END_TEST

/* A pause's end comes and the agent does not act: it goes on at that time, not before. Its lease does not matter. */
START_TEST(in_time)
{
	pid_t sleeper = sleeper_start("");
	int pidfd = (int)syscall(SYS_pidfd_open, sleeper, 0);
	struct guardian *guardian;
	struct error e = { "" };
	uint64_t until;

	ck_assert_msg(guardian_open(&guardian, &e) == 0, "%s", e.text);
	ck_assert_int_eq(guardian_watch(guardian, cgroup.claim.fd, clock_monotonic_ns() + 1000 * CLOCK_SECOND_NS), 0);
	stop(sleeper);
	until = clock_monotonic_ns() + 100 * MS;
	ck_assert_int_eq(guardian_wake(guardian, 1, pidfd, until), 0);
	wait_state(sleeper, false);
	ck_assert_uint_ge(clock_monotonic_ns(), until);
	ck_assert_int_eq(guardian_rest(guardian), 0);
	guardian_close(guardian);
	close(pidfd);
}
END_TEST

/* What the agent woke itself is stopped again later for somebody else's reasons: nobody wakes it then. */
START_TEST(forgotten)
{
	pid_t first = sleeper_start(""), second = sleeper_start("");
	int one = (int)syscall(SYS_pidfd_open, first, 0), two = (int)syscall(SYS_pidfd_open, second, 0);
	struct guardian *guardian;
	struct error e = { "" };

	ck_assert_msg(guardian_open(&guardian, &e) == 0, "%s", e.text);
	stop(first);
	stop(second);
	ck_assert_int_eq(guardian_wake(guardian, 1, one, clock_monotonic_ns() + 100 * MS), 0);
	ck_assert_int_eq(guardian_wake(guardian, 2, two, clock_monotonic_ns() + 200 * MS), 0);
	ck_assert_int_eq(guardian_forget(guardian, 1), 0);
	wait_state(second, false);
	ck_assert_int_eq(process_state(first), 'T');
	/* the end of a run, and of the agent, in order */
	ck_assert_int_eq(guardian_wake(guardian, 3, one, UINT64_MAX), 0);
	ck_assert_int_eq(guardian_rest(guardian), 0);
	guardian_close(guardian);
	wait_end(guardian_pid(first, second));
	ck_assert_int_eq(process_state(first), 'T');
	close(one);
	close(two);
}
END_TEST

/* It takes so many and says so; one that has ended is told to the agent. */
START_TEST(limits)
{
	pid_t sleeper = sleeper_start(""), pid;
	int pidfd = (int)syscall(SYS_pidfd_open, sleeper, 0);
	struct guardian *guardian;
	struct error e = { "" };

	ck_assert_msg(guardian_open(&guardian, &e) == 0, "%s", e.text);
	for (unsigned i = 0; i < GUARDIAN_MAX; i++)
		ck_assert_int_eq(guardian_wake(guardian, i + 1, pidfd, UINT64_MAX), 0);
	ck_assert_int_eq(guardian_wake(guardian, GUARDIAN_MAX + 1, pidfd, UINT64_MAX), -ENOSPC);
	ck_assert_int_eq(guardian_forget(guardian, 1), 0);
	ck_assert_int_eq(guardian_wake(guardian, GUARDIAN_MAX + 1, pidfd, UINT64_MAX), 0);
	pid = guardian_pid(sleeper, 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(guardian_renew(guardian, 1), -EPIPE);
	guardian_close(guardian);
	close(pidfd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guardian");
	TCase *tests = tcase_create("guardian");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, killed, 0, 2);
	tcase_add_test(tests, killed_before);
	tcase_add_test(tests, killed_all);
	tcase_add_test(tests, hangs);
	tcase_add_test(tests, signals);
	tcase_add_test(tests, in_time);
	tcase_add_test(tests, forgotten);
	tcase_add_test(tests, limits);
	suite_add_tcase(suite, tests);
	return inbox_main(suite);
}
