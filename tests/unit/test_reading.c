/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A history read page by page: together the pages are what one page is, of one moment, and the store is read once for all of them. */
#include "collector/reading.h"

#include "collector/query.h"
#include "graph/print.h"
#include "tests/unit/store_place.h"

enum { CLASSES = 7 };

/* The store's own operations, but that it is counted how often its runs and its classes are gone through. */
static const struct store_ops *own;
static struct store_ops counting;
static unsigned run_lists, class_lists;

static int each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e)
{
	run_lists++;
	return own->each_run(store, range, on_run, arg, e);
}

static int each_class(struct store *store, const char *experiment, store_on_class *on_class, void *arg, struct error *e)
{
	class_lists++;
	return own->each_class(store, experiment, on_class, arg, e);
}

/* A run that did something else than all others, with a plan of its own. */
static void did(struct store *store, uint64_t what)
{
	char plan[40];
	struct store_run run = { .experiment = (char *)"x", .path = (char *)"/x", .text = (char *)"", .version = (char *)"1", .outcome = OUTCOME_GOOD,
				 .has_prints = true, .plan = plan };
	struct error e = { "" };

	snprintf(plan, sizeof(plan), "crash s%llu\n", (unsigned long long)what);
	run.prints[STORE_OWN][PRINT_LEVEL_EXACT].low = run.prints[STORE_SYMMETRIC][PRINT_LEVEL_EXACT].low = what;
	ck_assert_int_eq(store_owner_self(&run.owner, &e), 0);
	ck_assert_msg(store_run_create(store, &run, &e) == 0, "%s", e.text);
	ck_assert_msg(store_run_seal(store, &run, NULL, 0, NULL, &e) == 0, "%s", e.text);
}

static struct store *counted(void)
{
	struct store *store = store_made(STORE_CREATE);

	for (uint64_t i = 1; i <= CLASSES; i++)
		did(store, i);
	own = store->ops;
	counting = *own;
	counting.each_run = each_run;
	counting.each_class = each_class;
	store->ops = &counting;
	run_lists = class_lists = 0;
	return store;
}

/* A page: numbers of its classes, or of the first runs of its hypotheses. Returns how many; *ret_more. */
static size_t page(struct store *store, struct reading **reading, bool tried, uint64_t after, uint32_t limit, uint64_t *ret_rows, bool *ret_more)
{
	Bop__Api__ListHypotheses hypotheses = BOP__API__LIST_HYPOTHESES__INIT;
	Bop__Api__GetHistory history = BOP__API__GET_HISTORY__INIT;
	struct api_request request = { .id = 3, .kind = tried ? API_LIST_HYPOTHESES : API_GET_HISTORY };
	struct api_answer answer;
	struct error e = { "" };
	size_t n;

	hypotheses.experiment = history.experiment = (char *)"x";
	hypotheses.after = history.after = after;
	hypotheses.limit = history.limit = limit;
	if (tried)
		request.list_hypotheses = &hypotheses;
	else
		request.get_history = &history;
	ck_assert_msg(reading_answer(store, &request, reading, &answer, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(answer.id, 3);
	ck_assert_int_eq(answer.kind, tried ? API_HYPOTHESES : API_HISTORY);
	n = tried ? answer.hypotheses->n_rows : answer.history->n_rows;
	for (size_t i = 0; i < n; i++)
		ret_rows[i] = tried ? answer.hypotheses->rows[i]->first_run : answer.history->rows[i]->id;
	*ret_more = tried ? answer.hypotheses->more : answer.history->more;
	api_answer_fini(&answer);
	return n;
}

/* However small the pages, the store is read once. */
START_TEST(once)
{
	struct store *store = counted();
	struct reading *reading = NULL;
	uint64_t rows[CLASSES];
	bool more = true;
	size_t n = 0;

	while (more) {
		ck_assert_uint_lt(n, CLASSES);
		n += page(store, &reading, _i, n, 1, rows + n, &more);
	}
	ck_assert_uint_eq(n, CLASSES);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(rows[i], i + 1);
	ck_assert_uint_eq(run_lists, 1);
	ck_assert_uint_eq(class_lists, 1);
	ck_assert_msg(!reading, "what is at its end is kept");
	store->ops = own;
	store_close(store);
}
END_TEST

/* All pages are of the moment of the first one; who begins anew, or asks for another page than the next, gets what is there now. */
START_TEST(one_moment)
{
	struct store *store = counted();
	struct reading *reading = NULL;
	uint64_t rows[CLASSES + 2];
	bool more;

	ck_assert_uint_eq(page(store, &reading, false, 0, 4, rows, &more), 4);
	did(store, 8);
	ck_assert_uint_eq(page(store, &reading, false, 4, 0, rows, &more), 3);
	ck_assert(!more);
	ck_assert_uint_eq(page(store, &reading, false, 7, 0, rows, &more), 1);
	ck_assert_uint_eq(run_lists, 2);
	ck_assert_uint_eq(page(store, &reading, false, 0, 4, rows, &more), 4);
	did(store, 9);
	ck_assert_uint_eq(page(store, &reading, true, 4, 0, rows, &more), 5); /* of what was tried: another question */
	ck_assert_uint_eq(page(store, &reading, false, 0, 4, rows, &more), 4);
	ck_assert_uint_eq(page(store, &reading, false, 5, 0, rows, &more), 4);
	ck_assert_uint_eq(page(store, &reading, false, 0, 0, rows, &more), 9);
	ck_assert(!reading && !more);
	store->ops = own;
	store_close(store);
}
END_TEST

/* Of each client its own is kept, for a while, and of so many clients; nobody gets another one's. */
START_TEST(of_clients)
{
	struct readings *readings = readings_new();
	struct door_id clients[READINGS_MAX + 1] = { 0 };
	struct store *store = counted();
	struct reading *reading;
	uint64_t rows[CLASSES];
	bool more;

	for (unsigned i = 0; i <= READINGS_MAX; i++) {
		clients[i].size = 1;
		clients[i].bytes[0] = (unsigned char)i;
		reading = readings_take(readings, &clients[i], 1000);
		ck_assert_ptr_null(reading);
		page(store, &reading, false, 0, 1, rows, &more);
		readings_keep(readings, &clients[i], reading, 1000);
	}
	ck_assert_msg(!readings_take(readings, &clients[0], 1000), "the oldest one is kept");
	for (unsigned i = 1; i <= READINGS_MAX; i++) {
		reading = readings_take(readings, &clients[i], 1000 + READING_KEPT_NS);
		ck_assert_ptr_nonnull(reading);
		ck_assert_msg(!readings_take(readings, &clients[i], 1000), "there are two");
		readings_keep(readings, &clients[i], reading, 1000 + READING_KEPT_NS);
	}
	for (unsigned i = 1; i <= READINGS_MAX; i++)
		ck_assert_msg(!readings_take(readings, &clients[i], 1001 + READING_KEPT_NS), "it is too old");
	reading = NULL;
	page(store, &reading, false, 0, 1, rows, &more);
	readings_keep(readings, &clients[0], reading, 5); /* one is left at the end */
	readings_keep(readings, &clients[1], NULL, 5);
	readings_free(readings);
	store->ops = own;
	store_close(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reading");
	TCase *tc = tcase_create("reading");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, place_setup, place_teardown);
	tcase_add_loop_test(tc, once, 0, 2);
	tcase_add_test(tc, one_moment);
	tcase_add_test(tc, of_clients);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
