/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writes what the targets begin with: `seeds FOLDER` makes FOLDER/TARGET/... of those whose inputs nobody can type. The
 * others begin with files (tests/fuzz/run).
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store.h"
#include "proto/api.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/random_run.h"

static void file_write(const char *folder, const char *target, unsigned number, const void *front, size_t n_front,
		       const void *bytes, size_t size)
{
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", folder, target);
	must(!mkdir(path, 0777) || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/%s/seed-%u", folder, target, number);
	out = fopen(path, "we");
	must(out && fwrite(front, 1, n_front, out) == n_front && fwrite(bytes, 1, size, out) == size && !fclose(out));
}

static void message_write(const char *folder, unsigned number, uint8_t side, const struct message *message)
{
	unsigned char *bytes;
	size_t size;

	must(!message_encode(message, &bytes, &size));
	file_write(folder, "wire", number, &side, 1, bytes, size);
	free(bytes);
}

static void messages_write(const char *folder)
{
	char *argv[] = { "prog", "-x", NULL }, *environment[] = { "A=b", NULL }, *boxes[] = { "s1", "c", NULL };
	char *redact[] = { "secret=\\S+", NULL };
	struct trace_box box = { "s1", "10.0.0.1", "fd00::1" }, peers[] = { { "b", "10.0.0.2", "" }, { "d", "10.0.0.3", "" } };
	struct fault faults[] = { { .id = 1, .text = "cut c>s1:7000#1/2 oneway for 2s", .flags = FAULT_F_DRY },
				  { .id = 2, .text = "loss 5% s1 | c from send c<s1:7000#1/2 seed 7", .seed = 7 } };
	struct fault_receipt receipt = { .id = 1, .state = FAULT_STATE_FIRED, .packets = 3, .line = "isolate s1", .why = "late" };
	struct message from_agent[] = {
		{ .kind = MESSAGE_HELLO, .hello = { 1, "1", "host", "boot", "6.1", "tracepoint", "0123456789abcde", 1, 2, &box, 1 } },
		{ .kind = MESSAGE_REPLY, .reply = { .id = 3, .code = -2, .error = "no", .boxes = &box, .n_boxes = 1, .pid = 9 } },
		{ .kind = MESSAGE_READY, .ready = { "s1" } },
		{ .kind = MESSAGE_EXITED, .exited = { "check", 256, "bad\n", 4 } },
		{ .kind = MESSAGE_WARNING, .text = "slow" },
		{ .kind = MESSAGE_PROGRESS, .progress = 1234 },
		{ .kind = MESSAGE_RECEIPTS, .receipts = { &receipt, 1 } },
	};
	struct message to_agent[] = {
		{ .kind = MESSAGE_WELCOME, .text = "1" },
		{ .kind = MESSAGE_REFUSED, .text = "no" },
		{ .kind = MESSAGE_ACK, .ack = { 7, 8 } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 1, .kind = ORDER_BEGIN,
						    .begin = { .run = 7, .experiment = "x", .directory = "/tmp",
							       .boxes = boxes, .peers = peers, .n_peers = 2,
							       .content_bytes = 64, .redact = redact } } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 2, .kind = ORDER_START,
						    .start = { "s1", "s1", "", "/tmp", argv, environment, 7000, true, true } } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 3, .kind = ORDER_SIGNAL, .signal = { "s1", 15 } } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 4, .kind = ORDER_MARK, .mark = "outcome" } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 5, .kind = ORDER_FINISH } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 6, .kind = ORDER_QUIT } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 7, .kind = ORDER_ARM, .arm = { faults, 2, 1000000000 } } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 8, .kind = ORDER_LIFT, .lift = 1 } },
		{ .kind = MESSAGE_ORDER, .order = { .id = 9, .kind = ORDER_ATTACH, .attach = { "s1", "a", 12, "/c", "/bin/p", 7000, "redis" } } },
	};
	unsigned n = 100;

	for (size_t i = 0; i < sizeof(from_agent) / sizeof(*from_agent); i++)
		message_write(folder, n++, 0, &from_agent[i]);
	for (size_t i = 0; i < sizeof(to_agent) / sizeof(*to_agent); i++)
		message_write(folder, n++, 1, &to_agent[i]);
}

/* Requests and answers that are carried through, with everything in them that there can be. */
static void carried_write(const char *folder)
{
	static const uint8_t of_controller = 0, of_server = 1;
	char *texts[] = { "send", "recv" };
	uint32_t vertices[] = { 1, 300 };
	Bop__Api__Subscribe subscribe = BOP__API__SUBSCRIBE__INIT;
	Bop__Api__GetPast past = BOP__API__GET_PAST__INIT;
	Bop__Api__Render render = BOP__API__RENDER__INIT;
	Bop__Api__Diff diff = BOP__API__DIFF__INIT;
	Bop__Api__Message message = BOP__API__MESSAGE__INIT, *messages[] = { &message, &message };
	Bop__Api__Crash crash = BOP__API__CRASH__INIT, *crashes[] = { &crash };
	Bop__Api__Goal goal = BOP__API__GOAL__INIT, *goals[] = { &goal };
	Bop__Api__Supports supports = BOP__API__SUPPORTS__INIT;
	Bop__Api__Print print = BOP__API__PRINT__INIT;
	Bop__Api__RunRow row = BOP__API__RUN_ROW__INIT, *rows[] = { &row };
	Bop__Api__RunInfo info = BOP__API__RUN_INFO__INIT;
	Bop__Api__Runs runs = BOP__API__RUNS__INIT;
	struct api_request requests[] = {
		{ .id = 1, .kind = API_SUBSCRIBE, .subscribe = &subscribe },
		{ .id = 2, .kind = API_GET_PAST, .get_past = &past },
		{ .id = 3, .kind = API_RENDER, .render = &render },
		{ .id = 4, .kind = API_DIFF, .diff = &diff },
	};
	struct api_answer answers[] = {
		{ .id = 1, .kind = API_SUPPORTS, .supports = &supports },
		{ .id = 2, .kind = API_RUN_INFO, .run_info = &info },
		{ .id = 3, .kind = API_RUNS, .runs = &runs },
	};
	unsigned char *bytes;
	unsigned n = 50;
	size_t size;

	subscribe.kinds = info.plan = info.warnings = texts;
	subscribe.n_kinds = info.n_plan = info.n_warnings = 2;
	past.moment = crash.moment = "recv a>b:7000#1/1";
	past.after = render.offset = UINT64_MAX;
	render.format = diff.format = "svg";
	diff.run = diff.other = UINT64_MAX;
	message.label = message.connection = "a>b:7000#1/1";
	message.recv_vertices = vertices;
	message.n_recv_vertices = 2;
	goal.messages = messages;
	goal.n_messages = 2;
	goal.crashes = crashes;
	goal.n_crashes = supports.n_goals = runs.n_rows = 1;
	supports.goals = goals;
	runs.rows = rows;
	info.row = &row;
	row.exact = row.symmetric = &print;
	info.text = (ProtobufCBinaryData){ 4, (uint8_t *)"a\0b\xff" };
	for (size_t i = 0; i < 3; i++) {
		must(!api_request_encode(&requests[i], &bytes, &size));
		file_write(folder, "api", n++, &of_controller, 1, bytes, size);
		free(bytes);
		must(!api_answer_encode(&answers[i], &bytes, &size));
		file_write(folder, "api", n++, &of_server, 1, bytes, size);
		free(bytes);
	}
}

static void requests_write(const char *folder)
{
	char *lines[] = { "isolate s1" }, *origins[] = { "plan.txt:1" };
	struct api_fault fault = { 7, true, true, { .id = 1, .state = FAULT_STATE_FIRED, .bytes = 5, .line = "isolate s1", .why = "" } };
	uint32_t ids[] = { 1, 2 };
	struct api_request requests[] = {
		{ .id = 1, .kind = API_LIST_BOXES },
		{ .id = 2, .kind = API_RUN, .run = { "e.yaml", "/x/e.yaml", "live", "all", "experiment: x\n", 14, true } },
		{ .id = 3, .kind = API_CANCEL, .cancel = 2, .at_once = true },
		{ .id = 4, .kind = API_INJECT, .about.run = 7, .plan = { lines, origins, 1, 9, true, false } },
		{ .id = 5, .kind = API_LIFT, .about = { 7, 2 } },
		{ .id = 6, .kind = API_LIST_FAULTS },
	};
	struct trace_box box = { "s1", "10.0.0.1", "fd00::1" };
	struct api_agent agent = { .host = "h", .state = "idle", .boxes = &box, .n_boxes = 1 };
	struct api_refusal refusal = { "noise", "sent noise", 5 };
	char *warnings[] = { "slow", NULL };
	struct api_answer answers[] = {
		{ .id = 1, .kind = API_BOXES, .boxes = { "1", "r.db", &agent, 1, &refusal, 1 } },
		{ .id = 2, .kind = API_PROGRESS, .progress = { 7, 100, "check" } },
		{ .id = 2, .kind = API_RUN_END,
		  .run_end = { .run = 7, .outcome = "good", .warnings = warnings, .exact = { true, 1, 2, false } } },
		{ .id = 3, .kind = API_ERROR, .error = { API_NOT_FOUND, "no" } },
		{ .id = 4, .kind = API_INJECTED, .injected = { 7, ids, 2 } },
		{ .id = 6, .kind = API_FAULTS, .faults = { &fault, 1 } },
	};
	static const uint8_t of_controller = 0, of_server = 1;
	unsigned char *bytes;
	unsigned n = 0;
	size_t size;

	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		must(!api_request_encode(&requests[i], &bytes, &size));
		file_write(folder, "api", n++, &of_controller, 1, bytes, size);
		free(bytes);
	}
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		must(!api_answer_encode(&answers[i], &bytes, &size));
		file_write(folder, "api", n++, &of_server, 1, bytes, size);
		free(bytes);
	}
}

static void contents_add(struct trace *trace)
{
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct event *event = &trace->events[i];
		struct trace_content *content;

		if (event->kind != EVENT_SEND || !event->message || event->flags & EVENT_F_CONTINUED)
			continue;
		content = trace_content_add(trace);
		must(content);
		*content = (struct trace_content){ event->end, event->message, event->message % 16, 6,
						   (unsigned char *)strdup("<a>\"\x01\xff") };
		must(content->bytes);
	}
}

static void batch_make(const struct trace *trace, unsigned char **ret_bytes, size_t *ret_size)
{
	static uint32_t all[4096];
	struct wire_rows rows = { all, all, all, all, trace->n_boxes, trace->n_processes, trace->n_ends, trace->n_texts };
	struct wire_batch head = { .run = 1, .number = 1, .emitted = 5, .last = true };

	for (uint32_t i = 0; i < 4096; i++)
		all[i] = i + 1;
	must(trace->n_ends <= 4096 && trace->n_processes <= 4096);
	must(!wire_batch_encode(&head, trace, &rows, ret_bytes, ret_size));
}

static void store_write(const char *folder, unsigned number, const void *bytes, size_t size)
{
	struct store_process process = { .name = "s1", .box = "s1", .command = "prog", .role = STORE_PROCESS, .started = true };
	struct store_run run = { .experiment = "x", .path = "/x.yaml", .text = "experiment: x\n", .version = "1" };
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "6.1", .backend = "tracepoint" };
	struct store *store;
	struct error e;
	char path[512];

	snprintf(path, sizeof(path), "%s/store", folder);
	must(!mkdir(path, 0777) || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/store/seed-%u", folder, number);
	unlink(path);
	must(!store_open(path, STORE_CREATE, &store, &e) && !store_owner_self(&run.owner, &e));
	must(!store_run_create(store, &run, &e) && !store_stream_add(store, run.id, &stream, &e));
	must(!store_begin(store, &e) && !store_batch_put(store, run.id, 1, 1, bytes, size, &e) && !store_commit(store, &e));
	if (number == 6) { /* two agents */
		stream.boot_id = "c";
		must(!store_stream_add(store, run.id, &stream, &e) && !store_begin(store, &e));
		must(!store_batch_put(store, run.id, 2, 1, bytes, size, &e) && !store_commit(store, &e));
	}
	run.outcome = OUTCOME_GOOD;
	must(!store_run_seal(store, &run, &process, 1, NULL, &e));
	store_close(store);
}

/* The same by two agents. */
static void pair_write(const char *folder, unsigned number, const unsigned char length[2], const unsigned char *bytes, size_t size)
{
	unsigned char *twice = malloc(2 * size + 4);

	must(twice);
	memcpy(twice, bytes, size);
	memset(twice + size, 0, 2);
	memcpy(twice + size + 2, length, 2);
	memcpy(twice + size + 4, bytes, size);
	file_write(folder, "run", 100 + number, length, 2, twice, 2 * size + 4);
	free(twice);
}

int main(int argc, char **argv)
{
	struct random_options options = { .processes = 2, .steps = 20 };
	static const uint8_t batch = 2, empty_columns[] = { 0x08, 0x07, 0x10, 0x09, 0x3a, 0x00 };
	unsigned char *bytes, length[2];
	struct random_run run;
	size_t size;

	must(argc == 2);
	messages_write(argv[1]);
	carried_write(argv[1]);
	requests_write(argv[1]);
	file_write(argv[1], "wire", 99, &batch, 1, empty_columns, sizeof(empty_columns));
	for (unsigned i = 1; i <= 12; i++) {
		options = (struct random_options){ 2 + i % 3, 10 * i, i % 2, i % 3 == 0, i % 4 == 0 };
		random_run_init(&run, i, &options);
		contents_add(&run.trace);
		batch_make(&run.trace, &bytes, &size);
		file_write(argv[1], "wire", i, &batch, 1, bytes, size);
		length[0] = (unsigned char)size;
		length[1] = (unsigned char)(size >> 8);
		must(size <= UINT16_MAX);
		file_write(argv[1], "run", i, length, 2, bytes, size);
		if (i % 3 == 0)
			store_write(argv[1], i, bytes, size);
		if (i % 4 == 0)
			pair_write(argv[1], i, length, bytes, size);
		free(bytes);
		random_run_fini(&run);
	}
	return 0;
}
