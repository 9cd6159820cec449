/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two runs as one graph: nothing is in it twice, nothing in a circle, and what stands in another order is only what must. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/heap.h"
#include "tests/unit/diff_golden.h"
#include "tests/unit/overlaid.h"

/* Faults of one line in both plans are the same, one by one. */
START_TEST(equal_faults)
{
	struct two two = { .random = false };
	size_t both = 0;

	for (int i = 0; i < 2; i++) {
		talk_init(&two.talks[i], "a b c", "a+b b+c a>b* a+c a>c");
		talk_event(&two.talks[i], (struct talker){ 0 }, EVENT_ARMED, 0)->value = 2;
		talk_event(&two.talks[i], (struct talker){ 0 }, EVENT_ARMED, 0)->value = 3;
		for (unsigned k = 1; k < 4; k++) {
			struct event *armed = NULL;

			for (size_t at = 0; at < two.talks[i].trace.n_events; at++)
				if (two.talks[i].trace.events[at].kind == EVENT_ARMED && two.talks[i].trace.events[at].value == k)
					armed = &two.talks[i].trace.events[at];
			ck_assert_ptr_nonnull(armed);
			armed->text = 1;
		}
		two.graphs[i] = talk_graph(&two.talks[i]);
		ck_assert_uint_eq(two.graphs[i]->n_faults, 3);
	}
	lay(&two);
	for (size_t i = 0; i < two.overlay->graph.n_faults; i++)
		both += two.overlay->faults[i].side == OVERLAY_BOTH;
	ck_assert_uint_eq(two.overlay->graph.n_faults, 3);
	ck_assert_uint_eq(both, 3);
	two_fini(&two);
}
END_TEST

static size_t count_moved(const struct overlay *o)
{
	size_t n = 0;

	for (uint32_t v = 0; v < o->graph.n_vertices; v++)
		n += is_moved(o, v);
	return n;
}

/* P hears of Q in one run, and Q of P in the other one, behind what they do in both: neither order can stand. */
START_TEST(contradiction)
{
	struct two two;

	two_talks(&two, "a b c", "a+b b+a a+c b+c a>c a>b b>c", "a+b b+a a+c b+c b>c b>a a>c");
	check_line(&two, true);
	check_messages(&two);
	check_notes(&two);
	ck_assert_uint_gt(count_moved(two.overlay), 0);
	two_fini(&two);
}
END_TEST

/* What only came later in time is not in another order, also where what only run 0 has stands between. */
START_TEST(later_is_not_moved)
{
	struct two two;

	two_talks(&two, "c s p", "c+s c+p c>s s>c c>p p>c", "c+s c+p c>s? c>p p>c s<c");
	check_line(&two, true);
	check_notes(&two);
	ck_assert_uint_eq(two.diff->n_changes, 1);
	ck_assert_uint_eq(count_moved(two.overlay), 0);
	two_fini(&two);
}
END_TEST

/* a closes its connection to b and is killed, b sees the end of file. */
static void close_and_die(struct talk *t)
{
	struct talker a = { .process = 1 }, b = { .process = 2 };
	uint32_t from = t->line[1][2], to = t->line[2][1];

	talk_event(t, a, EVENT_CLOSE, from)->pos = t->sent[from];
	talk_event(t, a, EVENT_EXIT, 0)->value = 9;
	talk_event(t, b, EVENT_RECV, to)->pos = t->got[to];
}

/*
 * What a process did only in the run in which it lived stands behind its death. The arrow of a close stays, though there is another
 * way from it to what it caused: through what only the other run has.
 */
START_TEST(what_is_gone_explains_no_order)
{
	struct render_options options = { .runs = { 1, 2 } };
	struct two two = { .random = false };
	struct picture *p = NULL;
	size_t drawn = 0;

	talk_init(&two.talks[0], "a b", "a+b 2(a>b)");
	talk_init(&two.talks[1], "a b", "a+b a>b");
	close_and_die(&two.talks[1]);
	for (int i = 0; i < 2; i++)
		two.graphs[i] = talk_graph(&two.talks[i]);
	lay(&two);
	options.overlay = two.overlay;
	ck_assert_int_eq(picture_build(&two.overlay->graph, &options, 2000, &p, NULL), 0);
	for (size_t i = 0; i < p->n_links; i++)
		drawn += p->links[i].rule == RULE_CLOSE && p->links[i].drawn;
	ck_assert_uint_eq(drawn, 1);
	for (uint32_t v = 1; v < two.overlay->graph.n_vertices; v++)
		if (two.overlay->vertices[v].side == OVERLAY_REMOVED && two.overlay->trace.events[v].kind == EVENT_SEND)
			ck_assert_int_eq(two.overlay->trace.events[v - 1].kind, EVENT_EXIT);
	picture_free(p);
	two_fini(&two);
}
END_TEST

/*
 * A message whose first bytes another thread sends when it has got the answer to its last ones: nobody does, but a store that somebody sent can
 * say so. By threads it has no circle; the message taken as a whole would.
 */
static void tail_first(struct talk *t)
{
	struct talker a = { .process = 1 }, other_a = { .process = 1, .thread = 2 }, b = { .process = 2 }, other_b = { .process = 2, .thread = 2 };
	uint32_t from = t->line[1][2], to = t->line[2][1];
	struct event *tail, *head, *event;

	tail = talk_event(t, other_a, EVENT_SEND, from);
	tail->pos = tail->value = 10;
	tail->message = 1;
	tail->order += 10; /* behind the head in its process, which is no order here */
	event = talk_event(t, b, EVENT_RECV, to);
	event->pos = event->value = 10;
	talk_send(t, b, a, 0);
	head = talk_event(t, a, EVENT_SEND, from);
	head->value = 10;
	head->message = 1;
	talk_event(t, other_b, EVENT_RECV, to)->value = 10;
}

START_TEST(tail_before_head)
{
	struct two two = { .random = false };

	for (int i = 0; i < 2; i++) {
		talk_init(&two.talks[i], "a b", "a+b");
		tail_first(&two.talks[i]);
		if (i)
			talk_say(&two.talks[i], "a>b?");
		two.graphs[i] = talk_graph(&two.talks[i]);
	}
	lay(&two);
	check_line(&two, true);
	check_pictures(&two);
	two_fini(&two);
}
END_TEST

/* What was received before the outcome, and sent behind it as the clock of another machine has it, is no message of the run. */
START_TEST(sent_behind_the_outcome)
{
	for (int later = 0; later < 2; later++) {
		struct two two = { .random = false };

		for (int i = 0; i < 2; i++) {
			struct talk *t = &two.talks[i];
			uint64_t mark;

			talk_init(t, "a b", i == later ? "a+b 2(a>b)" : "a+b a>b");
			*trace_text_at(&t->trace, 1) = strdup("outcome");
			talk_event(t, (struct talker){ 0 }, EVENT_MARK, 0)->text = 1;
			mark = t->trace.events[t->trace.n_events - 1].enter_ns;
			for (size_t k = 0; k < t->trace.n_events; k++)
				if (t->trace.events[k].kind == EVENT_SEND && t->trace.events[k].message == 2)
					t->trace.events[k].enter_ns = t->trace.events[k].return_ns = mark + 1000;
			two.graphs[i] = talk_graph(t);
		}
		lay(&two);
		check_line(&two, true);
		check_messages(&two);
		check_pictures(&two);
		two_fini(&two);
	}
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails: no memory, said so, and nothing is kept. */
START_TEST(no_memory)
{
	struct two two;
	bool failed = true;
	size_t which = 0;
	long before;

	while (strcmp(golden[which].name, "a cut, and what came of it") != 0)
		which++;
	two_talks(&two, FIRST, golden[which].before, golden[which].after);
	for (long n = 1; failed; n++) {
		struct overlay *overlay = NULL;
		int err;

		before = heap.balance;
		heap_arm(n);
		err = overlay_new(two.graphs, two.diff, &overlay);
		failed = heap_disarm();
		ck_assert_msg(err == -ENOMEM || (!err && overlay->graph.n_vertices == two.overlay->graph.n_vertices), "allocation %ld: %d", n, err);
		overlay_free(overlay);
		ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", n, heap.balance - before);
	}
	ck_assert_int_gt(heap.fail_at, 60);
	two_fini(&two);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("overlay");
	TCase *tc = tcase_create("two runs");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, equal_faults);
	tcase_add_test(tc, contradiction);
	tcase_add_test(tc, later_is_not_moved);
	tcase_add_test(tc, what_is_gone_explains_no_order);
	tcase_add_test(tc, tail_before_head);
	tcase_add_test(tc, sent_behind_the_outcome);
#ifndef SANITIZED
	tcase_add_test(tc, no_memory);
#endif
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
