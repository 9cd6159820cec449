/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an agent decides about boxes that are there, and about paths that they do not have. Nothing of the kernel is needed. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tfj/enter.h"
#include "tfj/procfs.h"
#include "tfj/served.h"

static pid_t ending; /* who ends as soon as it is held; 0: nobody */

/* In place of the C library's. */
long syscall(long number, ...)
{
	long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_pidfd_open && ending && (pid_t)a[0] == ending) {
		kill(ending, SIGKILL);
		waitpid(ending, NULL, 0);
		ending = 0;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A container that came back under another address, of either kind: the other agents know the old one. */
START_TEST(moved)
{
	static const struct {
		const char *then[2], *now[2];
		const char *word; /* NULL: it is where it was */
	} rows[] = {
		{ { "10.1.0.2", "" }, { "10.1.0.2", "" }, NULL },
		{ { "10.1.0.2", "fd00::2" }, { "10.1.0.2", "fd00::2" }, NULL },
		{ { "10.1.0.2", "" }, { "10.1.0.3", "" }, "is at 10.1.0.3 now, and was at 10.1.0.2" },
		{ { "10.1.0.2", "fd00::2" }, { "10.1.0.2", "fd00::3" }, "is at fd00::3 now, and was at fd00::2" },
		{ { "10.1.0.2", "fd00::2" }, { "10.1.0.2", "" }, "is at no IPv6 address now, and was at fd00::2" },
		{ { "10.1.0.2", "" }, { "10.1.0.2", "fd00::3" }, "is at fd00::3 now, and was at none" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct box known = { .name = "s" }, box = { .name = "s" };
		struct error e = { "" };

		strcpy(known.address, rows[i].then[0]);
		strcpy(known.address6, rows[i].then[1]);
		strcpy(box.address, rows[i].now[0]);
		strcpy(box.address6, rows[i].now[1]);
		ck_assert_msg(served_moved(&box, &known, &e) == (rows[i].word ? -EADDRNOTAVAIL : 0), "row %zu: %s", i, e.text);
		ck_assert_msg(strstr(e.text, rows[i].word ? rows[i].word : ""), "row %zu: %s", i, e.text);
	}
}
END_TEST

/* The run's directory and what is in it are not in a container; a folder of its own is, whatever it is called. */
START_TEST(hidden)
{
	static const char run[] = "/tmp/bop.run.7f";

	ck_assert(enter_hides(run, "/tmp/bop.run.7f"));
	ck_assert(enter_hides(run, "/tmp/bop.run.7f/client"));
	ck_assert(!enter_hides(run, "/srv/bop.run.d"));
	ck_assert(!enter_hides(run, "/srv/bop.run.d/data"));
	ck_assert(!enter_hides(run, "/tmp/bop.run.7f8"));
	ck_assert(!enter_hides(run, "/tmp"));
	ck_assert(!enter_hides(run, "/"));
	ck_assert(!enter_hides("", "/srv"));
}
END_TEST

/* A container of crun, as that writes it down, of one process, which is `ending` from now on. */
static void ending_begin(const char *root)
{
	static const char *const folders[] = { "/run", "/run/crun", "/run/crun/ending-one" };
	char path[200], text[100];
	struct proc proc;
	int fd;

	ending = fork();
	ck_assert_int_ge(ending, 0);
	if (!ending) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	ck_assert_int_eq(proc_read(ending, &proc), 0);
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i]);
		ck_assert(!mkdir(path, 0700) || errno == EEXIST);
	}
	strcat(path, "/status");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	snprintf(text, sizeof(text), "{\"pid\": %d, \"process-start-time\": %llu}", (int)ending, (unsigned long long)proc.start);
	ck_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A container that ends while it is looked at is gone; with a ? it is left out, as if it had ended before. */
START_TEST(ends)
{
	static const char *const left[] = { "/run/crun/ending-one/status", "/run/crun/ending-one", "/run/crun", "/run", "" };
	char root[] = "/tmp/bop-served-XXXXXX", maybe[] = "x=container:ending-one?", surely[] = "x=container:ending-one", path[200];
	char *specs[] = { surely };
	struct served served;
	struct error e = { "" };

	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert(!setenv("BOP_CONTAINERS_ROOT", root, 1));
	ending_begin(root);
	ck_assert_msg(served_open(specs, 1, &served, &e) == -ESRCH && !ending, "%s", e.text);
	ck_assert_msg(strstr(e.text, "box 'x': the container 'ending-one' ended while it was looked at"), "%s", e.text);
	ending_begin(root);
	specs[0] = maybe;
	ck_assert_msg(served_open(specs, 1, &served, &e) == -ENOENT && !ending, "%s", e.text);
	ck_assert_msg(strstr(e.text, "none of the containers"), "%s", e.text);
	for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++) {
		snprintf(path, sizeof(path), "%s%s", root, left[i]);
		ck_assert_int_eq(remove(path), 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("served");
	TCase *tc = tcase_create("served");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, moved);
	tcase_add_test(tc, hidden);
	tcase_add_test(tc, ends);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
