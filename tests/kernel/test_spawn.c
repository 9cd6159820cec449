/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Programs in boxes: what they find there, what can go wrong on the way, and that all of them can be ended. */
#include "tests/kernel/stage.h"

#include <pwd.h>
#include <sys/syscall.h>

#include "tfj/clean.h"

static char text[65536];

static void check_shell(const char *script, const char *expect)
{
	int status = inbox_shell(&boxes->box[0], &cgroup, script, text, sizeof(text));

	ck_assert_msg(status == 0 && !strcmp(text, expect), "'%s' ended with %#x and said '%s', not '%s'", script, status,
		      text, expect);
}

/* Box names resolve, the host is called like the box, and there is one network: the box's. */
START_TEST(place)
{
	check_shell("hostname", "s1\n");
	check_shell("getent ahostsv4 s2 | head -n1 | cut -d' ' -f1", "10.83.0.2\n");
	check_shell("getent ahostsv6 s2.v6 | head -n1 | cut -d' ' -f1", "fd83::2\n");
	check_shell("getent ahostsv4 localhost | head -n1 | cut -d' ' -f1", "127.0.0.1\n");
	check_shell("cat /etc/resolv.conf", "");
	check_shell("ip -o link | cut -d: -f2 | cut -d@ -f1 | tr -d '\\n '", "loeth0");
	check_shell("echo x 2>/dev/null >>/etc/hosts || echo read-only", "read-only\n");
	check_shell("grep -c bop.test /proc/self/cgroup", "1\n");
}
END_TEST

/* What is laid over files in a box is not seen outside. */
START_TEST(outside_unchanged)
{
	char before[64], after[64];
	struct stat st;

	gethostname(before, sizeof(before));
	ck_assert_int_eq(stat("/etc/hosts", &st), 0);
	check_shell("mount -t tmpfs none /mnt && touch /mnt/inside && hostname other && echo done", "done\n");
	gethostname(after, sizeof(after));
	ck_assert_str_eq(before, after);
	ck_assert_int_eq(access("/mnt/inside", F_OK), -1);
	check_shell("hostname", "s1\n");
}
END_TEST

/* A program starts with a clean slate: signals, descriptors, environment, session, mask, its directory, an empty stdin. */
START_TEST(clean_slate)
{
	sigset_t all;
	char expect[128];

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	umask(077);
	ck_assert_int_ge(open("/dev/null", O_RDONLY), 0); /* not close-on-exec */
	check_shell("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u", "0000000000000000\n");
	check_shell("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "); /* 3: the directory that ls reads */
	check_shell("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | sort | tr '\\n' ' '",
		    "PATH=/usr/sbin:/usr/bin:/sbin:/bin WORD=yes ");
	check_shell("umask", "0022\n");
	ck_assert_int_eq(sched_setscheduler(0, SPAWN_BATCH, &(struct sched_param){ 0 }), 0);
	check_shell("cut -d ' ' -f 41 /proc/self/stat", "0\n"); /* the scheduling policy: SCHED_OTHER */
	check_shell("cat", "");
	check_shell("test $(ps -o sid= -p $$) = $$ && test $(ps -o pgid= -p $$) = $$ && echo leader", "leader\n");
	snprintf(expect, sizeof(expect), "%s\n", inbox_base);
	check_shell("pwd", expect);
}
END_TEST

/* Another user: its ids and groups, and the directory that was made for it is its own. */
START_TEST(other_user)
{
	char *const argv[] = { "sh", "-c", "id -un; id -u; id -G; stat -c %U .; touch file && echo writable; pwd", NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[1], &cgroup, argv);
	const struct passwd *user = getpwnam("nobody");
	char directory[128], expect[512];

	ck_assert_ptr_nonnull(user);
	snprintf(directory, sizeof(directory), "%s/new/work", inbox_base);
	snprintf(expect, sizeof(expect), "nobody\n%u\n%u\nnobody\nwritable\n%s\n", user->pw_uid, user->pw_gid, directory);
	spec.user = "nobody";
	spec.directory = directory;
	ck_assert_int_eq(inbox_run(&spec, text, sizeof(text)), 0);
	ck_assert_str_eq(text, expect);
}
END_TEST

static void check_refused(struct spawn_spec *spec, int err, const char *word)
{
	struct spawn spawn = SPAWN_NONE;
	struct error e = { "" };
	int got = inbox_start(spec, &spawn, &e);

	ck_assert_msg(got == err && strstr(e.text, word), "%s: got %d '%s'", word, got, e.text);
	if (spawn.pidfd >= 0)
		waitpid(spawn.pid, NULL, 0);
	spawn_close(&spawn);
}

/* Each thing that can be wrong with an order is told in a line that names it, and leaves no descriptor behind. */
START_TEST(refusals)
{
	char *missing[] = { "no-such-program", NULL }, *folder[] = { "/etc", NULL }, *nothing[] = { NULL };
	char *plain[] = { "true", NULL }, path[128];
	struct spawn_spec spec = inbox_spec(&boxes->box[0], &cgroup, missing);
	int fds = open_descriptors();

	check_refused(&spec, -ENOENT, "no-such-program");
	spec.argv = folder;
	check_refused(&spec, -EACCES, "/etc");
	spec.argv = nothing;
	check_refused(&spec, -EINVAL, "no program");
	spec.argv = plain;
	spec.user = "no-such-user";
	check_refused(&spec, -ENOENT, "no-such-user");
	spec.user = "";
	spec.directory = "relative";
	check_refused(&spec, -EINVAL, "relative");
	snprintf(path, sizeof(path), "%s/file", inbox_base);
	write_file(path, "x");
	spec.directory = path;
	check_refused(&spec, -ENOTDIR, path);
	spec.directory = inbox_base;
	spec.hosts = "/no/such/hosts";
	check_refused(&spec, -ENOENT, "/etc/hosts");
	spec.hosts = NULL;
	check_refused((spec.argv = (char *[]){ path, NULL }, &spec), -EACCES, path);
	ck_assert_int_eq(open_descriptors(), fds);
}
END_TEST

/* A program without a slash is looked for in the PATH of its own environment, in order, as a shell would. */
START_TEST(search_path)
{
	char path[128], search[300], *const argv[] = { "found", NULL };
	char *const environment[] = { search, NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[0], &cgroup, argv);

	snprintf(path, sizeof(path), "%s/one", inbox_base);
	mkdir(path, 0755);
	strcat(path, "/found");
	write_file(path, "not executable");
	snprintf(path, sizeof(path), "%s/two", inbox_base);
	mkdir(path, 0755);
	strcat(path, "/found");
	write_file(path, "#!/bin/sh\necho two\n");
	chmod(path, 0755);
	snprintf(search, sizeof(search), "PATH=/nowhere:%s/one:%s/two", inbox_base, inbox_base);
	spec.environment = environment;
	ck_assert_int_eq(inbox_run(&spec, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "two\n");
	snprintf(search, sizeof(search), "PATH=%s/one", inbox_base);
	check_refused(&spec, -EACCES, "found");
}
END_TEST

/* A child that is never let go never runs the program and ends. */
START_TEST(not_let_go)
{
	char path[128], *const argv[] = { "touch", path, NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[0], &cgroup, argv);
	struct spawn spawn = SPAWN_NONE;
	struct error e = { "" };
	pid_t pid;
	int status;

	snprintf(path, sizeof(path), "%s/touched", inbox_base);
	ck_assert_int_eq(spawn_prepare(&spec, &spawn, &e), 0);
	pid = spawn.pid;
	spawn_close(&spawn);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_ne(status, 0);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* Whichever descriptor is the first that cannot be had: an error and no leak. */
START_TEST(nth_failure)
{
	char *const argv[] = { "true", NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[0], &cgroup, argv);
	struct spawn spawn = SPAWN_NONE;
	struct rlimit limit, low;
	struct error e = { "" };
	int fds = open_descriptors(), err = -1, failures = 0;

	spec.one_pipe = 0;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (low.rlim_cur = 4; err; low.rlim_cur++) {
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		err = spawn_prepare(&spec, &spawn, &e);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		failures += err != 0;
		if (err)
			ck_assert_int_eq(open_descriptors(), fds);
		ck_assert_uint_lt(low.rlim_cur, 100);
	}
	ck_assert_int_gt(failures, 4);
	spawn_close(&spawn);
	waitpid(spawn.pid, NULL, 0);
	ck_assert_int_eq(open_descriptors(), fds);
}
END_TEST

/* Starts a script that never ends and returns when it has said a line. */
static pid_t start_until_said(const struct cgroup *in, const char *script, struct spawn *spawn)
{
	char *const argv[] = { "sh", "-c", (char *)script, NULL };
	struct spawn_spec spec = inbox_spec(&boxes->box[0], in, argv);
	struct error e = { "" };
	struct pollfd wait;
	char byte;

	*spawn = (struct spawn)SPAWN_NONE;
	ck_assert_msg(inbox_start(&spec, spawn, &e) == 0, "%s", e.text);
	wait = (struct pollfd){ .fd = spawn->out, .events = POLLIN };
	ck_assert_int_eq(poll(&wait, 1, 60000), 1);
	ck_assert_int_eq(read(spawn->out, &byte, 1), 1);
	return spawn->pid;
}

#define DAEMON "setsid sh -c '(trap \"\" TERM HUP INT; echo; while :; do sleep 1000; done) & exit' & "

/* The end of a cgroup is the end of all in it: who ignores signals, daemons of another session, what forks faster and faster. */
START_TEST(nobody_escapes)
{
	static const char *const scripts[] = {
		"trap '' TERM INT HUP; echo; while :; do sleep 1000; done",
		DAEMON "wait",
		DAEMON "exit",
		"f() { (sleep 0.1; f) & (sleep 0.1; f) & }; f; echo; wait",
	};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
		struct cgroup own = CGROUP_NONE;
		struct error e = { "" };
		struct spawn spawn;
		pid_t pid;

		ck_assert_int_eq(cgroup_open(&own, inbox_root.path, &e), 0);
		pid = start_until_said(&own, scripts[i], &spawn);
		ck_assert_int_eq(cgroup_populated(&own), 1);
		ck_assert_int_eq(cgroup_kill(&own), 0);
		ck_assert_int_eq(cgroup_wait_empty(&own, 60000), 0);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		ck_assert_int_eq(cgroup_remove(&own), 0);
		spawn_close(&spawn);
	}
}
END_TEST

/* A program dies with the agent that started it, even if that is killed. */
START_TEST(dies_with_its_agent)
{
	struct pollfd wait;
	struct spawn spawn;
	int report[2], pidfd;
	pid_t owner, pid;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	owner = inbox_fork();
	if (owner == 0) {
		pid = start_until_said(&cgroup, "echo; exec sleep 1000", &spawn);
		if (write(report[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		pause();
	}
	ck_assert_int_eq(read(report[0], &pid, sizeof(pid)), sizeof(pid));
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	kill(owner, SIGKILL);
	wait = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	ck_assert_int_eq(poll(&wait, 1, 60000), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
	close(pidfd);
}
END_TEST

/*
 * SIGKILL of an owner: the next sweep kills its daemon and removes its cgroup and directories, says so in a line each,
 * and leaves a living owner's alone.
 */
START_TEST(sweep_after_sigkill)
{
	struct claim alive_directory;
	struct cgroup dead = CGROUP_NONE;
	struct claim directory;
	struct spawn spawn, alive;
	struct error e = { "" };
	char said[4096] = "", file[300], path[256] = "";
	pid_t owner;
	FILE *out;
	int report[2], n;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	start_until_said(&cgroup, "echo; sleep 1000", &alive);
	ck_assert_int_eq(claim_open(&alive_directory, inbox_base, "run", NULL, 0700, &e), 0);
	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	owner = inbox_fork();
	if (owner == 0) {
		claim_close(&cgroup.claim); /* this child must not keep the other one alive */
		claim_close(&alive_directory);
		if (cgroup_open(&dead, inbox_root.path, &e) || claim_open(&directory, inbox_base, "bop", NULL, 0700, &e))
			_exit(1);
		snprintf(file, sizeof(file), "%s/socket", directory.path);
		write_file(file, "");
		start_until_said(&dead, "mkdir /sys/fs/cgroup/none 2>/dev/null; " DAEMON "exit", &spawn);
		if (write(report[1], directory.path, sizeof(directory.path)) < 0)
			_exit(1);
		pause();
	}
	ck_assert_int_eq(read(report[0], path, sizeof(path)), sizeof(path));
	ck_assert_int_eq(clean(inbox_root.path, NULL, &e), 0);
	kill(owner, SIGKILL);
	waitpid(owner, NULL, 0);
	out = fmemopen(said, sizeof(said), "w");
	n = clean(inbox_root.path, out, &e);
	fclose(out);
	ck_assert_msg(n == 2, "%d: %s", n, e.text);
	/* one or two: the daemon, and the shell that started it, if that has not ended yet */
	ck_assert_msg(strstr(said, "removed cgroup ") && strchr(said, '(') && atoi(strchr(said, '(') + 1) >= 1, "%s", said);
	ck_assert_ptr_nonnull(strstr(said, path));
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(access(alive_directory.path, F_OK), 0);
	ck_assert_int_eq(cgroup_populated(&cgroup), 1);
	ck_assert_int_eq(waitpid(alive.pid, NULL, WNOHANG), 0);
	ck_assert_int_eq(clean(inbox_root.path, NULL, &e), 0);
	spawn_close(&alive);
	claim_close(&alive_directory);
}
END_TEST

/* Cgroups that a program makes inside its own go with it. */
START_TEST(nested_cgroups)
{
	char script[1024];
	struct spawn spawn;

	snprintf(script, sizeof(script),
		 "mkdir -p %s/a/b/c %s/d && sh -c 'echo $$ > %s/a/b/cgroup.procs; echo; exec sleep 1000' & wait",
		 cgroup.claim.path, cgroup.claim.path, cgroup.claim.path);
	start_until_said(&cgroup, script, &spawn);
	spawn_close(&spawn);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spawn");
	TCase *tc = tcase_create("spawn");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, stage_open, stage_close);
	tcase_add_test(tc, place);
	tcase_add_test(tc, outside_unchanged);
	tcase_add_test(tc, clean_slate);
	tcase_add_test(tc, other_user);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, search_path);
	tcase_add_test(tc, not_let_go);
	tcase_add_test(tc, nth_failure);
	tcase_add_test(tc, nobody_escapes);
	tcase_add_test(tc, dies_with_its_agent);
	tcase_add_test(tc, sweep_after_sigkill);
	tcase_add_test(tc, nested_cgroups);
	suite_add_tcase(suite, tc);
	return inbox_main(suite);
}
