/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Claimed directories: who owns one, when it is stale, and that removal never leaves its own tree. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/claim.h"
#include "tests/scratch.h"

static char base[64];

static void setup(void)
{
	scratch_name(base, sizeof(base), "test_claim.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
}

static void teardown(void)
{
	ck_assert_int_eq(claim_remove_tree(base), 0);
}

static int on_stale(struct claim *claim, void *arg)
{
	if (arg)
		strcpy(arg, claim->path);
	return claim_remove_tree(claim->path);
}

static int exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void touch(const char *directory, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* A claim has the name, the mode and the tag that its header promises. */
START_TEST(claim_names)
{
	struct claim claim, same;
	struct error e = { "" };
	char expect[256];
	struct stat st;

	ck_assert_int_eq(claim_open(&claim, base, "run", "00112233445566ff", 0710, &e), 0);
	snprintf(expect, sizeof(expect), "%s/bop.run.00112233445566ff", base);
	ck_assert_str_eq(claim.path, expect);
	ck_assert_int_eq(stat(expect, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0710);
	ck_assert_int_eq(fcntl(claim.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(claim_open(&same, base, "run", "00112233445566ff", 0700, &e), -EEXIST);
	ck_assert_ptr_nonnull(strstr(e.text, expect));
	ck_assert_int_eq(same.fd, -1);
	ck_assert_int_eq(claim_open(&same, base, "run", "../../etc", 0700, &e), -EINVAL);
	claim_close(&claim);
	claim_close(&claim);
	ck_assert(exists(expect));
}
END_TEST

/* Random tags differ, and a base that does not exist is an error that names it. */
START_TEST(claim_random)
{
	struct claim a, b;
	struct error e = { "" };

	ck_assert_int_eq(claim_open(&a, base, "run", NULL, 0700, &e), 0);
	ck_assert_int_eq(claim_open(&b, base, "run", NULL, 0700, &e), 0);
	ck_assert_str_ne(a.path, b.path);
	claim_close(&a);
	claim_close(&b);
	ck_assert_int_eq(claim_open(&a, "/nowhere", "run", NULL, 0700, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "/nowhere"));
}
END_TEST

/* What cannot be claimed is not left behind: here a process that can open nothing more. */
START_TEST(claim_half_made)
{
	struct rlimit before, limit = { .rlim_cur = 0 };
	struct error e = { "" };
	struct claim claim;
	int err;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit.rlim_max = before.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	err = claim_open(&claim, base, "run", NULL, 0700, &e);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(err, -EMFILE);
	ck_assert_int_eq(claim.fd, -1);
	ck_assert_ptr_nonnull(strstr(e.text, "bop.run."));
	ck_assert_int_eq(rmdir(base), 0); /* there is nothing in it */
	ck_assert_int_eq(mkdir(base, 0700), 0);
}
END_TEST

/* A sweep takes what nobody holds and leaves what somebody holds, whatever else is there. */
START_TEST(sweep_stale_only)
{
	struct claim alive, dead;
	struct error e = { "" };
	char found[256] = "", path[512];

	ck_assert_int_eq(claim_open(&alive, base, "run", NULL, 0700, &e), 0);
	ck_assert_int_eq(claim_open(&dead, base, "run", NULL, 0700, &e), 0);
	touch(dead.path, "file");
	claim_close(&dead);
	snprintf(path, sizeof(path), "%s/bop.run.notatag", base);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/bop.bop.0011223344556677", base);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(claim_sweep(base, "run", on_stale, found, &e), 1);
	ck_assert_str_eq(found, dead.path);
	ck_assert(!exists(dead.path));
	ck_assert(exists(alive.path));
	ck_assert(exists(path));
	snprintf(path, sizeof(path), "%s/bop.run.notatag", base);
	ck_assert(exists(path));
	ck_assert_int_eq(claim_sweep(base, "run", on_stale, NULL, &e), 0);
	claim_close(&alive);
	ck_assert_int_eq(claim_sweep("/nowhere/at/all", "run", on_stale, NULL, &e), 0);
}
END_TEST

/* A link that bears a claim's name is never followed. */
START_TEST(sweep_ignores_links)
{
	char target[128], name[128];
	struct error e = { "" };

	snprintf(target, sizeof(target), "%s/target", base);
	snprintf(name, sizeof(name), "%s/bop.run.0011223344556677", base);
	ck_assert_int_eq(mkdir(target, 0700), 0);
	touch(target, "precious");
	ck_assert_int_eq(symlink(target, name), 0);
	ck_assert_int_eq(claim_sweep(base, "run", on_stale, NULL, &e), 0);
	strcat(target, "/precious");
	ck_assert(exists(target));
}
END_TEST

/* SIGKILL of an owner makes its claim stale at once, although its child, which executed a program, lives on. */
START_TEST(sweep_after_sigkill)
{
	struct claim claim = CLAIM_NONE;
	struct error e = { "" };
	int report[2], hold[2];
	pid_t owner;
	char byte;

	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe(hold), 0); /* cat lives until our end is closed */
	fcntl(hold[1], F_SETFD, FD_CLOEXEC);
	owner = fork();
	if (owner == 0) {
		if (claim_open(&claim, base, "run", "0123456789abcdef", 0700, &e))
			_exit(1);
		if (fork() == 0) {
			dup2(hold[0], 0);
			dup2(report[1], 9); /* closes by exec: tells that exec happened */
			fcntl(9, F_SETFD, FD_CLOEXEC);
			execl("/bin/cat", "cat", NULL);
			_exit(1);
		}
		close(9);
		close(report[1]);
		pause();
		_exit(0);
	}
	close(report[1]);
	ck_assert_int_eq(read(report[0], &byte, 1), 0);
	ck_assert_int_eq(claim_sweep(base, "run", on_stale, NULL, &e), 0);
	kill(owner, SIGKILL);
	waitpid(owner, NULL, 0);
	ck_assert_int_eq(claim_sweep(base, "run", on_stale, NULL, &e), 1);
	close(hold[1]);
	close(hold[0]);
	close(report[0]);
}
END_TEST

/* A thousand creators and sweepers at once: whoever got a claim finds its directory where it should be. */
START_TEST(claim_against_sweeper)
{
	struct error e = { "" };
	int status, go[2];
	pid_t sweeper;
	char byte;

	ck_assert_int_eq(pipe(go), 0);
	sweeper = fork();
	if (sweeper == 0) {
		close(go[1]);
		fcntl(go[0], F_SETFL, O_NONBLOCK);
		do
			claim_sweep(base, "run", on_stale, NULL, &e);
		while (read(go[0], &byte, 1) != 0);
		_exit(0);
	}
	close(go[0]);
	for (int i = 0; i < 1000; i++) {
		struct claim claim;

		ck_assert_msg(claim_open(&claim, base, "run", NULL, 0700, &e) == 0, "%s", e.text);
		touch(claim.path, "mine");
		ck_assert_int_eq(claim_remove_tree(claim.path), 0);
		claim_close(&claim);
	}
	close(go[1]);
	waitpid(sweeper, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* A tree deeper than any path may be long, with links that point out of it, goes away; what they point to stays. */
START_TEST(remove_deep)
{
	char root[128], outside[128];
	int at, next;

	snprintf(root, sizeof(root), "%s/root", base);
	snprintf(outside, sizeof(outside), "%s/outside", base);
	ck_assert_int_eq(mkdir(root, 0700), 0);
	ck_assert_int_eq(mkdir(outside, 0700), 0);
	touch(outside, "kept");
	at = open(root, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 1500; i++) {
		ck_assert_int_eq(mkdirat(at, "level", 0700), 0);
		ck_assert_int_eq(symlinkat(outside, at, "link"), 0);
		next = openat(at, "level", O_RDONLY | O_DIRECTORY);
		ck_assert_int_ge(next, 0);
		close(at);
		at = next;
	}
	close(at);
	ck_assert_int_eq(claim_remove_tree(root), 0);
	ck_assert(!exists(root));
	strcat(outside, "/kept");
	ck_assert(exists(outside));
	ck_assert_int_eq(claim_remove_tree(root), -ENOENT);
}
END_TEST

/* What is mounted somewhere in a tree, or over it, is never entered. */
START_TEST(remove_stops_at_mounts)
{
	char root[128], inner[160], outside[128], outside_mount[128], same[128];
	struct error e = { "" };
	struct claim claim;

	/* all in a mount namespace of its own, with nothing in reach but what is made here */
	if (unshare(CLONE_NEWNS) < 0)
		ck_assert_int_eq(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	snprintf(root, sizeof(root), "%s/root", base);
	snprintf(inner, sizeof(inner), "%s/inner", root);
	snprintf(outside, sizeof(outside), "%s/outside", base);
	mkdir(root, 0700);
	mkdir(inner, 0700);
	mkdir(outside, 0700);
	ck_assert_int_eq(mount("none", outside, "tmpfs", 0, NULL), 0);
	strcpy(outside_mount, outside);
	touch(outside, "kept");
	ck_assert_int_eq(mount(outside, inner, NULL, MS_BIND, NULL), 0);
	ck_assert_int_lt(claim_remove_tree(root), 0);
	ck_assert_int_eq(claim_remove_tree(outside), -EXDEV);
	strcat(outside, "/kept");
	ck_assert(exists(outside));
	ck_assert_int_eq(umount2(inner, MNT_DETACH), 0);
	/* a claim that something is mounted over is nobody's to sweep, though the lock cannot be seen */
	ck_assert_int_eq(claim_open(&claim, base, "run", NULL, 0700, &e), 0);
	ck_assert_int_eq(mount(outside_mount, claim.path, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(claim_sweep(base, "run", on_stale, NULL, &e), 0);
	ck_assert_int_eq(umount2(claim.path, MNT_DETACH), 0);
	claim_close(&claim);
	/* the same file system, which a device number does not tell */
	snprintf(same, sizeof(same), "%s/same", base);
	mkdir(same, 0700);
	touch(same, "kept");
	mkdir(inner, 0700);
	ck_assert_int_eq(mount(same, inner, NULL, MS_BIND, NULL), 0);
	ck_assert_int_lt(claim_remove_tree(root), 0);
	strcat(same, "/kept");
	ck_assert(exists(same));
	ck_assert_int_eq(umount2(inner, MNT_DETACH), 0);
	outside[strlen(outside) - 5] = '\0';
	ck_assert_int_eq(umount2(outside, MNT_DETACH), 0);
}
END_TEST

/* BOP_TMPDIR moves the base; empty means the default. */
START_TEST(base_directory)
{
	setenv("BOP_TMPDIR", "/var/tmp", 1);
	ck_assert_str_eq(claim_base(), "/var/tmp");
	setenv("BOP_TMPDIR", "", 1);
	ck_assert_str_eq(claim_base(), "/tmp");
	unsetenv("BOP_TMPDIR");
	ck_assert_str_eq(claim_base(), "/tmp");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("claim");
	TCase *tc = tcase_create("claim");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60); /* a disk can be busy */
	tcase_add_test(tc, claim_names);
	tcase_add_test(tc, claim_random);
	tcase_add_test(tc, claim_half_made);
	tcase_add_test(tc, sweep_stale_only);
	tcase_add_test(tc, sweep_ignores_links);
	tcase_add_test(tc, sweep_after_sigkill);
	tcase_add_test(tc, claim_against_sweeper);
	tcase_add_test(tc, remove_deep);
	tcase_add_test(tc, remove_stops_at_mounts);
	tcase_add_test(tc, base_directory);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
