/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests and answers: what goes in comes out, and bytes that are anything else are refused. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/api.h"

static struct api_request request_back(const struct api_request *request)
{
	struct api_request back;
	struct error e = { "" };
	unsigned char *bytes;
	size_t size;

	ck_assert_int_eq(api_request_encode(request, &bytes, &size), 0);
	ck_assert_msg(api_request_decode(bytes, size, &back, &e) == 0, "%s", e.text);
	free(bytes);
	ck_assert_uint_eq(back.id, request->id);
	ck_assert_int_eq(back.kind, request->kind);
	return back;
}

static struct api_answer answer_back(const struct api_answer *answer)
{
	struct api_answer back;
	struct error e = { "" };
	unsigned char *bytes;
	size_t size;

	ck_assert_int_eq(api_answer_encode(answer, &bytes, &size), 0);
	ck_assert_msg(api_answer_decode(bytes, size, &back, &e) == 0, "%s", e.text);
	free(bytes);
	ck_assert_uint_eq(back.id, answer->id);
	ck_assert_int_eq(back.kind, answer->kind);
	return back;
}

/* Every request comes back as it was; a text may hold any byte. */
START_TEST(requests)
{
	struct api_request run = { .id = 7, .kind = API_RUN,
				   .run = { .name = "e.yaml", .path = "/x/e.yaml", .text = "a\0b", .size = 3, .keep = true,
					    .send = "live" } };
	char *lines[] = { "isolate a", "cut a>b:1#1/1" }, *origins[] = { "p:1", "p:3" };
	struct api_request back;

	back = request_back(&(struct api_request){ .id = UINT64_MAX, .kind = API_LIST_BOXES });
	api_request_fini(&back);
	back = request_back(&(struct api_request){ .id = 1, .kind = API_CANCEL, .cancel = 9, .at_once = true });
	ck_assert(back.cancel == 9 && back.at_once);
	api_request_fini(&back);
	back = request_back(&run);
	ck_assert_str_eq(back.run.name, "e.yaml");
	ck_assert_str_eq(back.run.path, "/x/e.yaml");
	ck_assert_str_eq(back.run.send, "live");
	ck_assert(back.run.size == 3 && back.run.keep && !memcmp(back.run.text, "a\0b", 4) && !back.plan.n);
	api_request_fini(&back);
	run.plan = (struct api_plan){ lines, origins, 2, 99, true, true };
	back = request_back(&run);
	ck_assert(back.plan.n == 2 && back.plan.seed == 99 && back.plan.dry && back.plan.racy);
	ck_assert(!strcmp(back.plan.lines[1], "cut a>b:1#1/1") && !strcmp(back.plan.origins[1], "p:3"));
	api_request_fini(&back);
	back = request_back(&(struct api_request){ .id = 3, .kind = API_INJECT, .about.run = 8, .plan = { lines, origins, 1, 0, false, true } });
	ck_assert(back.about.run == 8 && back.plan.n == 1 && back.plan.racy && !back.plan.dry);
	api_request_fini(&back);
	back = request_back(&(struct api_request){ .id = 3, .kind = API_LIFT, .about = { 8, 5 } });
	ck_assert(back.about.run == 8 && back.about.id == 5);
	api_request_fini(&back);
	back = request_back(&(struct api_request){ .id = 3, .kind = API_LIST_FAULTS, .about.run = 8 });
	ck_assert_uint_eq(back.about.run, 8);
	api_request_fini(&back);
}
END_TEST

/* A request that is carried through comes back as it was, whichever it is; so does a Cancel by the number of a run. */
START_TEST(carried)
{
	static char *kinds[] = { "send", "recv" };
	Bop__Api__Subscribe subscribe = BOP__API__SUBSCRIBE__INIT;
	Bop__Api__GetPast past = BOP__API__GET_PAST__INIT;
	struct api_request back;

	subscribe.run = 4;
	subscribe.kinds = kinds;
	subscribe.n_kinds = 2;
	back = request_back(&(struct api_request){ .id = 5, .kind = API_SUBSCRIBE, .subscribe = &subscribe });
	ck_assert(back.subscribe->run == 4 && back.subscribe->n_kinds == 2 && !strcmp(back.subscribe->kinds[1], "recv"));
	api_request_fini(&back);
	past.moment = "recv a>b:1#1/1";
	back = request_back(&(struct api_request){ .id = 5, .kind = API_GET_PAST, .get_past = &past });
	ck_assert_str_eq(back.get_past->moment, "recv a>b:1#1/1");
	api_request_fini(&back);
	back = request_back(&(struct api_request){ .id = 1, .kind = API_CANCEL, .about.run = 77 });
	ck_assert(back.about.run == 77 && !back.cancel && !back.at_once);
	api_request_fini(&back);
#define X(NAME, field, type)                                                                                         \
	{                                                                                                            \
		Bop__Api__##type body;                                                                               \
		protobuf_c_message_init(&bop__api__##field##__descriptor, &body);                                    \
		back = request_back(&(struct api_request){ .id = 5, .kind = API_##NAME, .field = &body });           \
		ck_assert_ptr_eq(back.body->descriptor, &bop__api__##field##__descriptor);                           \
		api_request_fini(&back);                                                                             \
	}
	API_QUERIES(X)
#undef X
}
END_TEST

static struct trace_box two_boxes[] = { { "s1", "10.0.0.1", "fd::1" }, { "s2", "", "" } };
static struct api_agent two_agents[] = {
	{ .host = "h", .key = "k", .state = "running", .since_ns = 5, .run = 6, .boxes = two_boxes, .n_boxes = 2 },
	{ .host = "i", .address = "10.0.0.9" },
};
static struct api_refusal one_refusal[] = { { "noise", "sent noise", 12 } };
static char *two_warnings[] = { "one", "two", NULL };
static struct api_fault two_faults[] = {
	{ 7, true, false, { .id = 1, .state = FAULT_STATE_WOULD_FIRE, .packets = 3, .line = "isolate a", .why = "dry" } },
	{ 7, false, true, { .id = 2, .line = "isolate b" } },
};
static uint32_t two_ids[] = { 3, 4 };
static const struct api_answer all_answers[] = {
	{ .id = 1, .kind = API_ERROR, .error = { API_BUSY, "busy" } },
	{ .id = 2, .kind = API_BOXES, .boxes = { "1", "r.db", two_agents, 2, one_refusal, 1 } },
	{ .id = 3, .kind = API_BOXES },
	{ .id = 4, .kind = API_PROGRESS, .progress = { 5, 6, "check" } },
	{ .id = 5, .kind = API_RUN_END, .run_end = { .run = 8, .experiment = "x", .outcome = "good", .lost = UINT64_MAX,
						     .warnings = two_warnings, .incomplete = true, .stop_ns = 9, .store = "r.db",
						     .exact = { true, 1, UINT64_MAX, true }, .folded = { true, 2, 3, false },
						     .shape_symmetric = { true, 4, 5, false }, .print_why_not = "lost" } },
	{ .id = 6, .kind = API_INJECTED, .injected = { 7, two_ids, 2 } },
	{ .id = 7, .kind = API_FAULTS, .faults = { two_faults, 2 } },
};
enum { N_ANSWERS = sizeof(all_answers) / sizeof(*all_answers) };

/* Every answer comes back as it was. */
START_TEST(answers)
{
	struct api_answer back[N_ANSWERS];

	for (size_t i = 0; i < N_ANSWERS; i++)
		back[i] = answer_back(&all_answers[i]);
	ck_assert(back[0].error.kind == API_BUSY && !strcmp(back[0].error.text, "busy"));
	ck_assert(back[1].boxes.n_agents == 2 && back[1].boxes.n_refusals == 1);
	ck_assert_str_eq(back[1].boxes.agents[0].boxes[1].name, "s2");
	ck_assert_str_eq(back[1].boxes.agents[0].boxes[0].address6, "fd::1");
	ck_assert_str_eq(back[1].boxes.agents[1].address, "10.0.0.9");
	ck_assert_str_eq(back[1].boxes.agents[1].key, "");
	ck_assert_uint_eq(back[1].boxes.refusals[0].count, 12);
	ck_assert(back[2].boxes.n_agents == 0 && !*back[2].boxes.version);
	ck_assert(back[3].progress.run == 5 && back[3].progress.events == 6 && !strcmp(back[3].progress.phase, "check"));
	ck_assert(back[4].run_end.lost == UINT64_MAX && back[4].run_end.incomplete && back[4].run_end.stop_ns == 9);
	ck_assert(back[4].run_end.folded.known && back[4].run_end.folded.high == 2 && !back[4].run_end.folded_symmetric.known);
	ck_assert(back[4].run_end.shape_symmetric.known && back[4].run_end.shape_symmetric.low == 5);
	ck_assert(back[4].run_end.exact.known && back[4].run_end.exact.low == UINT64_MAX && back[4].run_end.exact.approximate);
	ck_assert(!back[4].run_end.symmetric.known && !strcmp(back[4].run_end.store, "r.db"));
	ck_assert(!strcmp(back[4].run_end.warnings[1], "two") && !back[4].run_end.warnings[2]);
	ck_assert(back[5].injected.run == 7 && back[5].injected.n == 2 && back[5].injected.ids[1] == 4);
	ck_assert(back[6].faults.n == 2 && back[6].faults.rows[0].dry && !back[6].faults.rows[0].live && back[6].faults.rows[1].live);
	ck_assert(back[6].faults.rows[0].receipt.state == FAULT_STATE_WOULD_FIRE && back[6].faults.rows[0].receipt.packets == 3);
	ck_assert(back[6].faults.rows[1].receipt.state == FAULT_STATE_NONE && back[6].faults.rows[1].receipt.id == 2);
	ck_assert(!strcmp(back[6].faults.rows[0].receipt.why, "dry") && !*back[6].faults.rows[1].receipt.why);
	for (size_t i = 0; i < N_ANSWERS; i++)
		api_answer_fini(&back[i]);
}
END_TEST

/* What an agent or a server says, and a terminal will show, has no control characters in it, and is UTF-8. */
START_TEST(printable)
{
	struct trace_box box = { "a\033[2J", "\xff", "\xc2\x9b" "1m" };
	struct api_agent agent = { .host = "h\n", .key = "\xc3\xa9\x7f", .boxes = &box, .n_boxes = 1 };
	char *warnings[] = { "w\r", NULL };
	struct api_fault fault = { .receipt = { .state = FAULT_STATE_FIRED, .line = "l\n", .why = "\033[m" } };
	struct api_answer answer = { .kind = API_BOXES, .boxes = { "1", "r\t", &agent, 1, NULL, 0 } }, back;

	back = answer_back(&answer);
	ck_assert_str_eq(back.boxes.store, "r?");
	ck_assert_str_eq(back.boxes.agents[0].host, "h?");
	ck_assert_str_eq(back.boxes.agents[0].key, "\xc3\xa9?");
	ck_assert_str_eq(back.boxes.agents[0].boxes[0].name, "a?[2J");
	ck_assert_str_eq(back.boxes.agents[0].boxes[0].address, "?");
	ck_assert_str_eq(back.boxes.agents[0].boxes[0].address6, "??1m");
	api_answer_fini(&back);
	answer = (struct api_answer){ .kind = API_RUN_END, .run_end = { .outcome = "good", .reason = "\033", .warnings = warnings } };
	back = answer_back(&answer);
	ck_assert_str_eq(back.run_end.reason, "?");
	ck_assert_str_eq(back.run_end.warnings[0], "w?");
	api_answer_fini(&back);
	answer = (struct api_answer){ .kind = API_FAULTS, .faults = { &fault, 1 } };
	back = answer_back(&answer);
	ck_assert_str_eq(back.faults.rows[0].receipt.line, "l?");
	ck_assert_str_eq(back.faults.rows[0].receipt.why, "?[m");
	api_answer_fini(&back);
}
END_TEST

/* A fault is in a state that there is. */
START_TEST(unknown_state)
{
	struct api_fault fault = { .receipt = { .id = 1, .state = FAULT_STATE_COUNT } };
	struct api_answer answer = { .kind = API_FAULTS, .faults = { &fault, 1 } }, back;
	unsigned char *bytes;
	struct error e;
	size_t size;

	ck_assert_int_eq(api_answer_encode(&answer, &bytes, &size), 0);
	ck_assert_int_eq(api_answer_decode(bytes, size, &back, &e), -EBADMSG);
	free(bytes);
}
END_TEST

/* So has everything that is carried through, at any depth; and all that leaves is UTF-8, whatever it was made of. */
START_TEST(printable_carried)
{
	char esc[] = "\033", bad[] = "a\xff", good[] = "\xc3\xa9", *texts[] = { good, esc, bad };
	Bop__Api__RunInfo info = BOP__API__RUN_INFO__INIT;
	Bop__Api__RunRow row = BOP__API__RUN_ROW__INIT;
	Bop__Api__Fault fault = BOP__API__FAULT__INIT, *faults[] = { &fault };
	struct api_answer back;

	info.row = &row;
	info.plan = texts;
	info.n_plan = 3;
	info.faults = faults;
	info.n_faults = 1;
	info.text = (ProtobufCBinaryData){ 2, (uint8_t *)bad };
	row.reason = fault.why = bad;
	back = answer_back(&(struct api_answer){ .kind = API_RUN_INFO, .run_info = &info });
	ck_assert(texts[1] == esc && texts[2] == bad && row.reason == bad && fault.why == bad);
	ck_assert_str_eq(back.run_info->row->reason, "a?");
	ck_assert_str_eq(back.run_info->faults[0]->why, "a?");
	ck_assert_str_eq(back.run_info->plan[0], good);
	ck_assert_str_eq(back.run_info->plan[1], "?");
	ck_assert_str_eq(back.run_info->plan[2], "a?");
	ck_assert(back.run_info->text.len == 2 && !memcmp(back.run_info->text.data, bad, 2));
	api_answer_fini(&back);
	/* what another server sent */
	ck_assert_int_eq(api_answer_decode((const unsigned char *)"\x62\x07\x0a\x05\x12\x01\x1b\x22\x00", 9, &back, NULL), 0);
	ck_assert_str_eq(back.run_info->row->experiment, "?");
	api_answer_fini(&back);
}
END_TEST

/* Another version, nothing, an unknown kind and too much are refused; the id is told where there is one. */
START_TEST(refused)
{
	static unsigned char huge[API_MAX_REQUEST + 1];
	struct api_request back;
	struct error e = { "" };

	ck_assert_int_eq(api_request_decode((const unsigned char *)"\x08\x02\x10\x07\x1a\x00", 6, &back, &e), -EPROTO);
	ck_assert_uint_eq(back.id, 7);
	ck_assert_ptr_nonnull(strstr(e.text, "version 2"));
	ck_assert_int_eq(api_request_decode((const unsigned char *)"\x08\x01\x10\x07", 4, &back, &e), -EBADMSG);
	ck_assert_uint_eq(back.id, 7);
	ck_assert_int_eq(api_request_decode((const unsigned char *)"", 0, &back, &e), -EPROTO);
	ck_assert_int_eq(api_request_decode((const unsigned char *)"\x08\x01\x10\x07\xfa\x3f\x00", 7, &back, &e), -EBADMSG);
	ck_assert_int_eq(api_request_decode((const unsigned char *)"\xff\xff\xff", 3, &back, &e), -EBADMSG);
	ck_assert_int_eq(api_request_decode(huge, sizeof(huge), &back, &e), -EBADMSG);
	ck_assert_uint_eq(back.id, 0);
}
END_TEST

/* One of the deepest. */
static int supports_encode(unsigned char **ret_bytes, size_t *ret_size)
{
	uint32_t vertices[] = { 1, 300 };
	Bop__Api__Message message = BOP__API__MESSAGE__INIT, *messages[] = { &message, &message };
	Bop__Api__Crash crash = BOP__API__CRASH__INIT, *crashes[] = { &crash };
	Bop__Api__Goal goal = BOP__API__GOAL__INIT, *goals[] = { &goal };
	Bop__Api__Supports supports = BOP__API__SUPPORTS__INIT;

	message.label = crash.moment = "a>b:1#1/1";
	message.recv_vertices = vertices;
	message.n_recv_vertices = 2;
	goal.messages = messages;
	goal.n_messages = 2;
	goal.crashes = crashes;
	goal.n_crashes = supports.n_goals = 1;
	supports.goals = goals;
	return api_answer_encode(&(struct api_answer){ .kind = API_SUPPORTS, .supports = &supports }, ret_bytes, ret_size);
}

/* Every prefix of a good message, and every one with a byte changed, is taken or refused, never worse. */
START_TEST(damage)
{
	struct api_request request = { .id = 7, .kind = API_RUN, .run = { .name = "e", .path = "/e", .text = "abc", .size = 3 } };
	struct api_request back;
	struct api_answer answer;
	unsigned char *bytes;
	size_t size;

	for (size_t i = 0; i <= N_ANSWERS + 1; i++) {
		ck_assert_int_eq(i < N_ANSWERS	? api_answer_encode(&all_answers[i], &bytes, &size) :
				 i == N_ANSWERS ? api_request_encode(&request, &bytes, &size) :
						  supports_encode(&bytes, &size), 0);
		for (size_t at = 0; at < size; at++)
			for (int value = -1; value < 256; value += value < 0 ? 1 : 17) {
				unsigned char before = bytes[at];
				size_t n = value < 0 ? at : size;

				if (value >= 0)
					bytes[at] = (unsigned char)value;
				if (!api_request_decode(bytes, n, &back, NULL))
					api_request_fini(&back);
				if (!api_answer_decode(bytes, n, &answer, NULL))
					api_answer_fini(&answer);
				bytes[at] = before;
			}
		free(bytes);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api");
	TCase *tc = tcase_create("api");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, requests);
	tcase_add_test(tc, carried);
	tcase_add_test(tc, answers);
	tcase_add_test(tc, printable);
	tcase_add_test(tc, printable_carried);
	tcase_add_test(tc, unknown_state);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, damage);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
