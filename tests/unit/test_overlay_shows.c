/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The picture of two runs: all that differs shows, by signs that need no colour, and it stays visible when the rest is folded. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/show_diff.h"
#include "tests/unit/diff_golden.h"
#include "tests/unit/overlaid.h"

static char *drawn(const struct two *two, const char *format, size_t *ret_size)
{
	struct shown_diff shown = { .diff = two->diff, .runs = { 1, 2 }, .experiments = { "talk", "talk" } };
	struct error e = { "" };
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	for (int i = 0; i < 2; i++) {
		shown.graphs[i] = two->graphs[i];
		ck_assert_int_eq(print_levels(shown.graphs[i], NULL, shown.prints[i]), 0);
	}
	ck_assert_msg(!show_diff_draw(&shown, format, out, &e), "%s", e.text);
	fclose(out);
	return text;
}

/* As it stands in SVG. */
static char *escaped(const char *text)
{
	char *buf = calloc(6, strlen(text) + 1), *to = buf;

	for (; *text; text++)
		to = stpcpy(to, *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : (char[]){ *text, '\0' });
	return buf;
}

/* Is there an element of the class with these words in its title? */
static bool is_told(const char *svg, const char *class, const char *words)
{
	char *text = escaped(words), open[64];
	bool told = false;

	snprintf(open, sizeof(open), "<g class=\"t %s\">", class);
	for (const char *at = strstr(svg, open); at && !told; at = strstr(at + 1, open)) {
		const char *end = strstr(at, "</title>"), *found = strstr(at, text);

		told = found && end && found < end;
	}
	free(text);
	return told;
}

/* Which sides show a change. */
static bool shows(const char *svg, const struct diff_change *change)
{
	switch (change->kind) {
	case DIFF_FAULT:
		return is_told(svg, change->cause_run ? "added" : "removed", change->text);
	case DIFF_PROCESS_ADDED:
	case DIFF_CONNECTION_ADDED:
	case DIFF_MESSAGES_ADDED:
		return is_told(svg, "added", change->text);
	case DIFF_PROCESS_REMOVED:
	case DIFF_CONNECTION_REMOVED:
	case DIFF_MESSAGES_REMOVED:
		return is_told(svg, "removed", change->text);
	case DIFF_CONNECTION_INSTEAD:
		return is_told(svg, "added", change->text) && is_told(svg, "removed", change->text);
	case DIFF_UNRECEIVED:
		return is_told(svg, "changed", change->text) && is_told(svg, "removed", change->text);
	case DIFF_RECEIVED:
		return is_told(svg, "changed", change->text) && is_told(svg, "added", change->text);
	case DIFF_RESULT:
		return is_told(svg, "changed", change->text);
	case DIFF_EXIT:
		return is_told(svg, change->vertex[0] == DIFF_NONE ? "added" : change->vertex[1] == DIFF_NONE ? "removed" : "changed",
			       change->text);
	case DIFF_REORDERED:
		return is_told(svg, "moved", change->text);
	case DIFF_KIND_COUNT:
		break;
	}
	return false;
}

static bool has_side(const char *svg)
{
	return strstr(svg, "class=\"t added") || strstr(svg, "class=\"t removed") || strstr(svg, "class=\"t moved") ||
	       strstr(svg, "class=\"t ghost") || strstr(svg, "class=\"t changed");
}

/* Every seeded change is an element that says so, with what explains it; where nothing differs, nothing seems to. */
START_TEST(changes_show)
{
	struct two two;
	char *svg, cause[DIFF_CAUSE_MAX];
	size_t size;

	two_talks(&two, FIRST, golden[_i].before, golden[_i].after);
	svg = drawn(&two, "svg", &size);
	for (size_t i = 0; i < two.diff->n_changes; i++) {
		const struct diff_change *change = &two.diff->changes[i];

		ck_assert_msg(shows(svg, change), "%s: %s %s", golden[_i].name, diff_kind_name(change->kind), change->text);
		diff_cause_text(change, cause);
		ck_assert_msg(strstr(svg, cause) != NULL, "%s: %s", golden[_i].name, cause);
	}
	ck_assert_int_eq(has_side(svg), two.diff->n_changes > 0);
	ck_assert_ptr_nonnull(strstr(svg, ">talk, run 2 compared with run 1<"));
	free(svg);
	svg = drawn(&two, "dot", &size);
	ck_assert_int_eq(strstr(svg, "class=") != NULL, two.diff->n_changes > 0);
	free(svg);
	two_fini(&two);
}
END_TEST

/* What is in both, and by which signs the rest is told apart, without colours. */
START_TEST(signs)
{
	struct two two;
	size_t size;
	char *svg;

	two_talks(&two, FIRST, THREE ASK("c", "s") ASK("c", "p") "c.", THREE ASK("c", "p") ASK("c", "s") "c>q c.3");
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">+ c&gt;q:7000#1/1 · 10 B<"));
	ck_assert_ptr_nonnull(strstr(svg, ">⇅ c&gt;"));
	ck_assert_ptr_nonnull(strstr(svg, ">⇅ from here: "));
	ck_assert_ptr_nonnull(strstr(svg, ">≠ exit 3; in run 1: exit 0<"));
	ck_assert_ptr_nonnull(strstr(svg, ">+ only in run 2<"));
	ck_assert_ptr_null(strstr(svg, "only in run 1<"));
	free(svg);
	two_fini(&two);
	two_talks(&two, "c s", "c+s c>s d+s d>s", "c+s");
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">− c&gt;s:7000#1/1 · 10 B<"));
	ck_assert_ptr_nonnull(strstr(svg, "stroke-dasharray=\"2 3\""));
	ck_assert_ptr_nonnull(strstr(svg, ">− d<"));
	ck_assert_ptr_nonnull(strstr(svg, ">only in run 1<"));
	free(svg);
	two_fini(&two);
}
END_TEST

/* A caption that names fault 12 does not name fault 1. */
START_TEST(names_of_faults)
{
	ck_assert(diff_names_fault("+ lost to fault 1", 1));
	ck_assert(diff_names_fault("lost to fault 12, after fault 1 of run 1", 1));
	ck_assert(diff_names_fault("lost to fault 12", 12));
	ck_assert(!diff_names_fault("lost to fault 12", 1));
	ck_assert(!diff_names_fault("lost to fault 12", 2));
	ck_assert(!diff_names_fault("", 1));
}
END_TEST

/* Nothing, and something; two that have nothing in common; the same in another arrival. */
START_TEST(edges_of_the_world)
{
	static const char *const said[][2] = {
		{ "", "" }, { "", "a+b a>b" }, { "a+b a>b", "" }, { "a+b a>b a.", "x+y x>y x.3" }, { "a-b", "a+b" }, { "a+b", "a-b" },
	};
	static const char *const formats[] = { "svg", "png", "dot", "json" };
	size_t size;

	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		struct two two;

		two_talks(&two, "", said[i][0], said[i][1]);
		check_line(&two, true);
		check_notes(&two);
		check_pictures(&two);
		for (size_t k = 0; k < 4; k++) {
			char *bytes = drawn(&two, formats[k], &size);

			ck_assert_uint_gt(size, 20);
			free(bytes);
		}
		two_fini(&two);
	}
}
END_TEST

/* A change in the middle of a long loop stays visible when the loop is folded; so do both ends of a large one. */
START_TEST(differences_stay_visible)
{
	struct two two;
	char *svg;
	size_t size;

	two_talks(&two, FIRST, THREE "12500(" ASK("c", "s") ")" "12500(" ASK("c", "s") ")", THREE "12500(" ASK("c", "s") ") c>p 12500(" ASK("c", "s") ")");
	svg = drawn(&two, "svg", &size);
	ck_assert_uint_eq(two.diff->n_changes, 1);
	ck_assert_uint_gt(two.graphs[0]->n_vertices, 100000);
	ck_assert_ptr_nonnull(strstr(svg, ">+ c&gt;p:7000#1/1 · 10 B<"));
	ck_assert_ptr_nonnull(strstr(svg, " folded<"));
	ck_assert_uint_lt(size, 200000);
	free(svg);
	two_fini(&two);
	two_talks(&two, "", "a+b 25000(" ASK("a", "b") ")", "x+y 25000(" ASK("x", "y") ")");
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">+ 1 connection, "));
	ck_assert_ptr_nonnull(strstr(svg, ">\u2212 1 connection, "));
	ck_assert_uint_lt(size, 200000);
	free(svg);
	two_fini(&two);
	two_talks(&two, FIRST, THREE ASK("c", "s") ASK("c", "p"), THREE ASK("c", "s") "25000(" ASK("c", "s") ")" ASK("c", "p"));
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">+ 1 connection, "));
	ck_assert_ptr_nonnull(strstr(svg, ">+ c&gt;s:7000#1/25001"));
	ck_assert_uint_lt(size, 200000);
	free(svg);
	two_fini(&two);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("overlay shows");
	TCase *tc = tcase_create("two runs");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, changes_show, 0, N_GOLDEN);
	tcase_add_test(tc, names_of_faults);
	tcase_add_test(tc, signs);
	tcase_add_test(tc, edges_of_the_world);
	tcase_add_test(tc, differences_stay_visible);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
