/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How fast records become stored events: an agent that makes its records up, one client and one server with 20
 * connections, requests and replies, as redis-benchmark makes them; everything from the record on is the agent's own
 * code. Under the name tfj, beside a copy of bop, it serves `bop run`; the time ends when the last batch was
 * acknowledged, that is, when it is on disk.
 *
 *     bench_stream --encode                      no collector: records to batches that are thrown away
 *     bench_stream --decode                      the same, and each is checked as the collector does it
 *     tfj --collector URL --parent-death         EVENTS in the environment; writes what it measured to $BENCH_RESULT
 *
 * Prints one `name number` a line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include "lib/clock.h"
#include "tfj/batch.h"
#include "tfj/link.h"
#include "tfj/name.h"

#define CONNECTIONS 20
#define BASE 400
#define CLIENT 1000
#define SERVER 2000
#define WAITING 32 /* batches that may wait before more are made */

struct bench {
	struct stream stream;
	struct names *names;
	struct link *link; /* NULL: batches are thrown away */
	uint64_t now, seq[2], order[2], pos[CONNECTIONS][2];
	uint32_t message[CONNECTIONS][2];
	uint64_t made, bytes, began_ns, decode_ns;
	bool decode;
	struct trace tables;
	bool quit;
};

static struct box rows[2] = {
	{ .name = "client", .index = 1, .address = "10.83.0.1", .address6 = "" },
	{ .name = "server", .index = 2, .address = "10.83.0.2", .address6 = "" },
};
static struct boxes boxes = { .box = rows, .n = 2, .n_known = 2 };

static void on_listen(void *arg, uint32_t root, uint16_t port)
{
}

static struct rec_addr address(int box, uint16_t port)
{
	struct rec_addr to = { .port = port };

	memcpy(to.ip, rows[box].ip4, 16);
	return to;
}

/* side 0: the client, 1: the server. */
static struct rec_head head(struct bench *b, int side, enum rec_kind kind)
{
	b->now += 700;
	return (struct rec_head){
		.seq = (uint64_t)side << 48 | ++b->seq[side],
		.enter_ns = b->now,
		.return_ns = b->now + 600,
		.order = ++b->order[side],
		.tgid = side ? SERVER : CLIENT,
		.tid = side ? SERVER : CLIENT,
		.kind = (uint16_t)kind,
		.box = BASE + 1 + (uint32_t)side,
	};
}

/* What collector/ingest.c does with a batch before it goes to the store. */
static void decode(struct bench *b, const unsigned char *bytes, size_t size)
{
	uint64_t before = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	struct wire_batch head;
	struct error e;

	if (wire_batch_decode(bytes, size, &head, &b->tables, &e) < 0)
		abort();
	trace_drop_events(&b->tables);
	b->decode_ns += clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - before;
}

static void cut(struct bench *b, bool last)
{
	unsigned char *bytes;
	size_t size;

	if ((b->link && link_reserve(b->link) < 0) || stream_cut(&b->stream, last, b->made, 0, &bytes, &size) < 0)
		abort();
	b->bytes += size;
	if (b->decode)
		decode(b, bytes, size);
	if (b->link)
		link_batch(b->link, b->stream.run, b->stream.batches, bytes, size);
	else
		free(bytes);
}

static void take(struct bench *b, const void *record, size_t size)
{
	b->made++;
	names_record(b->names, record, size);
	if (stream_due(&b->stream))
		cut(b, false);
}

static void connect_one(struct bench *b, uint32_t i)
{
	struct rec_open open = { .head = head(b, 0, REC_OPEN), .cookie = 100 + i, .remote = address(1, 6379), .ordinal = i + 1 };
	struct rec_established up = { .cookie = 100 + i, .local = address(0, (uint16_t)(40000 + i)), .remote = address(1, 6379),
				      .first_local = 5000 + i, .first_remote = 9000 + i };
	struct rec_accept accept = { .cookie = 500 + i, .result = (int)i };
	struct rec_connect connect = { .cookie = 100 + i, .remote = address(1, 6379), .ordinal = i + 1 };

	take(b, &open, sizeof(open));
	up.head = head(b, 0, REC_ESTABLISHED);
	take(b, &up, sizeof(up));
	connect.head = head(b, 0, REC_CONNECT);
	take(b, &connect, sizeof(connect));
	up = (struct rec_established){ .cookie = 500 + i, .local = address(1, 6379), .remote = address(0, (uint16_t)(40000 + i)),
				       .first_local = 9000 + i, .first_remote = 5000 + i };
	up.head = head(b, 1, REC_ESTABLISHED);
	up.head.flags = REC_F_ACCEPTOR;
	take(b, &up, sizeof(up));
	accept.head = head(b, 1, REC_ACCEPT);
	take(b, &accept, sizeof(accept));
}

static void transfer(struct bench *b, int side, enum rec_kind kind, uint32_t i, int direction, int size)
{
	struct rec_transfer t = { .head = head(b, side, kind), .cookie = (side ? 500u : 100u) + i, .pos = b->pos[i][direction],
				  .result = size };

	if (kind == REC_SEND)
		t.message = ++b->message[i][direction];
	else
		b->pos[i][direction] += (uint64_t)size;
	take(b, &t, sizeof(t));
}

static void exchange(struct bench *b, uint32_t i)
{
	transfer(b, 0, REC_SEND, i, 0, 40);
	transfer(b, 1, REC_RECV, i, 0, 40);
	transfer(b, 1, REC_SEND, i, 1, 9);
	transfer(b, 0, REC_RECV, i, 1, 9);
}

static void prepare(struct bench *b, uint64_t run)
{
	for (int i = 0; i < 2; i++) {
		rows[i].ip4[10] = rows[i].ip4[11] = 0xff;
		memcpy(rows[i].ip4 + 12, (uint8_t[]){ 10, 83, 0, (uint8_t)(i + 1) }, 4);
	}
	stream_init(&b->stream, run);
	b->names = names_new(&b->stream, &boxes, BASE, on_listen, NULL);
	if (!b->names || !names_root(b->names, "server", 2, SERVER, "server") ||
	    !names_root(b->names, "client", 1, CLIENT, "client"))
		abort();
	b->began_ns = clock_monotonic_ns();
	b->now = b->began_ns;
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		connect_one(b, i);
}

static uint64_t wanted(void)
{
	const char *text = getenv("EVENTS");

	return text ? strtoull(text, NULL, 10) : 2000000;
}

static int encode_only(bool decode)
{
	struct bench b = { .decode = decode };
	uint64_t events = wanted(), cpu;

	prepare(&b, 1);
	cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	for (uint32_t i = 0; b.stream.events < events; i++)
		exchange(&b, i % CONNECTIONS);
	cut(&b, true);
	cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu - b.decode_ns;
	if (decode)
		printf("decode_ns %.1f\n", (double)b.decode_ns / (double)b.stream.events);
	printf("encode_ns %.1f\nencode_bytes %.2f\n", (double)cpu / (double)b.stream.events,
	       (double)b.bytes / (double)b.stream.events);
	names_free(b.names);
	stream_fini(&b.stream);
	trace_fini(&b.tables);
	return 0;
}

/* ---- as an agent ---- */

static void reply(struct bench *b, uint64_t id)
{
	struct message message = { .kind = MESSAGE_REPLY, .reply = { .id = id, .pid = CLIENT } };
	struct trace_box named[2];

	for (int i = 0; i < 2; i++)
		named[i] = (struct trace_box){ rows[i].name, rows[i].address, rows[i].address6 };
	message.reply.boxes = named;
	message.reply.n_boxes = 2;
	link_send(b->link, &message);
}

static void on_order(struct bench *b, const struct message_order *order);

static void turn(struct bench *b, long wait_ms)
{
	zmq_pollitem_t items[] = { { .socket = link_socket(b->link), .events = ZMQ_POLLIN },
				   { .socket = link_monitor(b->link), .events = ZMQ_POLLIN } };
	struct message message;
	struct error e;
	int got;

	zmq_poll(items, 2, wait_ms);
	link_on_monitor(b->link);
	while ((got = link_receive(b->link, &message, &e))) {
		if (got > 0 && message.kind == MESSAGE_ORDER)
			on_order(b, &message.order);
		if (got > 0)
			message_fini(&message);
	}
}

static void make_all(struct bench *b)
{
	struct message exited = { .kind = MESSAGE_EXITED };
	uint64_t events = wanted();

	for (uint32_t i = 0; b->stream.events < events; i++) {
		exchange(b, i % CONNECTIONS);
		if (i % 1024 == 0)
			turn(b, 0);
		while (link_unsent(b->link) > WAITING)
			turn(b, 1);
	}
	exited.exited.name = "workload";
	exited.exited.output = "";
	link_send(b->link, &exited);
}

static void finish(struct bench *b)
{
	const char *path = getenv("BENCH_RESULT");
	FILE *f = path ? fopen(path, "we") : NULL;
	double s;

	cut(b, true);
	while (link_unacked(b->link))
		turn(b, 10);
	s = (double)(clock_monotonic_ns() - b->began_ns) / CLOCK_SECOND_NS;
	if (f) {
		fprintf(f, "stream_events_per_s %.0f\nstream_events %llu\n", (double)b->stream.events / s,
			(unsigned long long)b->stream.events);
		fclose(f);
	}
}

static void on_order(struct bench *b, const struct message_order *order)
{
	uint64_t id = order->id;

	switch (order->kind) {
	case ORDER_BEGIN:
		prepare(b, order->begin.run);
		reply(b, id);
		break;
	case ORDER_START:
		reply(b, id);
		make_all(b);
		break;
	case ORDER_FINISH:
		finish(b);
		reply(b, id);
		break;
	case ORDER_QUIT:
		reply(b, id);
		b->quit = true;
		break;
	case ORDER_SIGNAL:
	case ORDER_MARK:
	case ORDER_ARM:
	case ORDER_LIFT:
	case ORDER_ATTACH:
	case ORDER_NONE:
		reply(b, id);
		break;
	}
}

int main(int argc, char **argv)
{
	struct message_hello hello = { .protocol = WIRE_PROTOCOL, .version = BOP_VERSION, .host = "bench", .boot_id = "",
				       .kernel = "", .backend = "made up" };
	struct spool_room room = { .memory = 256u << 20 };
	struct bench bench = { 0 };
	struct error e;

	if (argc == 2 && (!strcmp(argv[1], "--encode") || !strcmp(argv[1], "--decode")))
		return encode_only(argv[1][2] == 'd');
	if (argc < 3 || strcmp(argv[1], "--collector") ||
	    getrandom(hello.session, sizeof(hello.session), 0) != sizeof(hello.session))
		return 3;
	if (link_open(argv[2], NULL, &hello, &room, &bench.link, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 3;
	}
	while (!bench.quit)
		turn(&bench, 100);
	link_close(bench.link, 1000);
	names_free(bench.names);
	stream_fini(&bench.stream);
	return 0;
}
