/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an agent decides about boxes that are there, and about paths that they do not have. Nothing of the kernel is needed. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tfj/enter.h"
#include "tfj/served.h"

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

int main(void)
{
	Suite *suite = suite_create("served");
	TCase *tc = tcase_create("served");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, moved);
	tcase_add_test(tc, hidden);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
