/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Programs whose system calls fail: from exec on, for whom it was asked, and nothing else about them is changed. */
#include "tests/kernel/stage.h"

#include "tfj/failing.h"

static char text[65536];

/* What a shell with this script says, as this user, when these calls fail for it. */
static int shell(const struct failing_call *calls, size_t n, const char *user, const char *script)
{
	char *const argv[] = { "sh", "-c", (char *)script, NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[0], &cgroup, argv);
	struct sock_fprog filter;
	struct error e = { "" };
	int status;

	ck_assert_msg(failing_make(calls, n, &filter, &e) == 0, "%s", e.text);
	spec.failing = &filter;
	spec.user = user;
	status = inbox_run(&spec, text, sizeof(text));
	free(filter.filter);
	return status;
}

/* A call fails as asked, again and again, in the program and in those that it starts; others do not. */
START_TEST(fails)
{
	const struct failing_call calls[] = { { "uname", EIO }, { "uname", EPERM }, { "getpriority", ESRCH } };

	ck_assert_int_eq(shell(calls, 3, "", "uname -r; (uname -n); true; nice 2>&1; hostname; echo on"), 0);
	ck_assert_ptr_nonnull(strstr(text, "uname: cannot get system name: Input/output error\n"));
	ck_assert_ptr_nonnull(strstr(strstr(text, "uname: ") + 1, "uname: cannot get system name: Input/output error\n"));
	ck_assert_ptr_nonnull(strstr(text, "nice: cannot get niceness: No such process\n"));
	ck_assert_ptr_nonnull(strstr(text, "on\n"));
}
END_TEST

/*
 * Another user has no right that it would not have otherwise, and programs with more rights than their caller still work: no
 * no_new_privs. What a start needs itself may fail for the program.
 */
START_TEST(user)
{
	const struct failing_call calls[] = { { "uname", EIO },	  { "setgroups", EIO }, { "setresuid", EIO }, { "setresgid", EIO },
					      { "prctl", EIO },	  { "capset", EIO },	{ "getppid", EIO },   { "seccomp", EIO },
					      { "capget", EIO } };

	ck_assert_int_eq(shell(calls, 9, "nobody", "uname; id -un; grep -E 'Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp:' /proc/self/status"),
			 0);
	ck_assert_str_eq(text, "uname: cannot get system name: Input/output error\nnobody\nCapInh:\t0000000000000000\n"
			       "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n"
			       "NoNewPrivs:\t0\nSeccomp:\t2\n");
}
END_TEST

/* Who cannot even write still tells why it could not be started. */
START_TEST(cannot_start)
{
	const struct failing_call calls[] = { { "write", EBADF }, { "writev", EBADF }, { "pwritev2", EBADF } };
	char *const argv[] = { "no-such-program", NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[0], &cgroup, argv);
	struct spawn spawn = SPAWN_NONE;
	struct sock_fprog filter;
	struct error e = { "" };

	ck_assert_int_eq(failing_make(calls, 3, &filter, &e), 0);
	spec.failing = &filter;
	ck_assert_int_eq(inbox_start(&spec, &spawn, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "no-such-program"));
	waitpid(spawn.pid, NULL, 0);
	spawn_close(&spawn);
	free(filter.filter);
}
END_TEST

/* Dies with its agent although it has changed its user and kept a right on the way. */
START_TEST(dies_with_its_agent)
{
	const struct failing_call call = { "uname", EIO };
	char *const argv[] = { "sleep", "1000", NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[0], &cgroup, argv);
	struct sock_fprog filter;
	struct error e = { "" };
	int report[2], status;
	pid_t owner, pid;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(failing_make(&call, 1, &filter, &e), 0);
	spec.failing = &filter;
	spec.user = "nobody";
	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	owner = inbox_fork();
	if (owner == 0) {
		struct spawn spawn = SPAWN_NONE;

		if (inbox_start(&spec, &spawn, &e) || write(report[1], &spawn.pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		pause();
	}
	ck_assert_int_eq(read(report[0], &pid, sizeof(pid)), sizeof(pid));
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), -1); /* it is not ours */
	kill(owner, SIGKILL);
	ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, SIGKILL);
	free(filter.filter);
}
END_TEST

/* What cannot be made to fail is refused with the reason. */
START_TEST(refused)
{
	static const struct {
		struct failing_call call;
		int err;
		const char *word;
	} cases[] = {
		{ { "execve", EIO }, -ENOTSUP, "starts the program" }, { { "exit_group", EIO }, -ENOTSUP, "could not end" },
		{ { "vmsplice", EIO }, -ENOTSUP, "told" },	       { { "no_such_call", EIO }, -EINVAL, "no_such_call" },
		{ { "", EIO }, -EINVAL, "no system call" },	       { { "fsync", 0 }, -EINVAL, "0 is no error" },
		{ { "fsync", 4096 }, -EINVAL, "4096 is no error" },    { { "fsync", 4095 }, 0, "" },
		{ { "fsync", ENOSPC }, 0, "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error e = { "" };
		int err = failing_check(&cases[i].call, &e);

		ck_assert_msg(err == cases[i].err && strstr(e.text, cases[i].word), "%s: %d '%s'", cases[i].call.call, err, e.text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("failing");
	TCase *tests = tcase_create("failing");

	tcase_add_checked_fixture(tests, stage_open, stage_close);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, fails);
	tcase_add_test(tests, user);
	tcase_add_test(tests, cannot_start);
	tcase_add_test(tests, dies_with_its_agent);
	tcase_add_test(tests, refused);
	suite_add_tcase(suite, tests);
	return inbox_main(suite);
}
