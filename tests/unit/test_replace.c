/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files that are whole or not there: in which order that is done, and what is said when it cannot be. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collector/replace.h"
#include "lib/claim.h"
#include "tests/scratch.h"

enum { LARGE = 100000 /* more than waits in a FILE */ };

static char folder[64], path[96];
static char calls[64]; /* what the product called, a letter each */
static bool disk_fails;

/* In place of the C library's. */
int fsync(int fd)
{
	strcat(calls, "s");
	errno = EIO;
	return disk_fails ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	strcat(calls, "r");
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static void setup(void)
{
	scratch_name(folder, sizeof(folder), "test-bop-replace-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
	calls[0] = '\0';
	disk_fails = false;
}

static void teardown(void)
{
	claim_remove_tree(folder);
}

static int text_write(FILE *out, void *arg, struct error *e)
{
	fputs(arg, out);
	return 0;
}

static int much_write(FILE *out, void *arg, struct error *e)
{
	for (int i = 0; i < LARGE; i++)
		putc('x', out);
	errno = ENOENT; /* of something else */
	return 0;
}

static void is(const char *text)
{
	char buf[64] = "";
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(buf, sizeof(buf), f));
	fclose(f);
	ck_assert_str_eq(buf, text);
}

/* What is in it is on the disk before it has the name; a disk that fails leaves the file of before, and nothing beside it. */
START_TEST(order)
{
	struct error e = { "" };

	ck_assert_msg(replace_file(path, text_write, (void *)"one", &e) == 0, "%s", e.text);
	ck_assert_str_eq(calls, "sr");
	is("one");
	disk_fails = true;
	ck_assert_int_eq(replace_file(path, text_write, (void *)"two", &e), -EIO);
	ck_assert_str_eq(calls, "srs");
	ck_assert_ptr_nonnull(strstr(e.text, path));
	is("one");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0); /* there is nothing else */
	ck_assert_int_eq(mkdir(folder, 0700), 0);
}
END_TEST

/* Why it could not be written is said, not what went wrong since. */
START_TEST(full)
{
	struct error e = { "" };

	ck_assert_int_eq(replace_file("/dev/full", much_write, NULL, &e), -ENOSPC);
	ck_assert_str_eq(e.text, "/dev/full: No space left on device");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replace");
	TCase *tc = tcase_create("replace");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, order);
	tcase_add_test(tc, full);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
