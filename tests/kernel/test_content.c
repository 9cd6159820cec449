/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Content of messages: whatever way a program sends, what is recorded is the beginning of what it sent, or it says that it
 * could not be read. What is filtered is filtered before it goes anywhere.
 */
#include "tests/kernel/world_check.h"

#include <bpf/bpf.h>
#include <linux/io_uring.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "proto/event.h"
#include "tfj/content.h"

#define SENDS_MAX 256u
#define PAYLOAD 10000u

/* What one send of the scenario sent: its beginning, and whether it must be readable on every kernel. */
struct sent {
	uint32_t size;
	bool readable;
	unsigned char bytes[REC_CONTENT_MAX];
};

struct sends {
	size_t n;
	struct sent sent[SENDS_MAX];
};

static uint32_t limit;
static struct contents *contents;
static struct kept_content *kept[SENDS_MAX];
static size_t n_kept;

/* As in tfj/run.c: contents wait for their sends. */
static void on_content(struct world *w, const struct rec_content *content, size_t size)
{
	expect(w, size >= sizeof(*content) + content->size && content->size <= content->limit);
	expect(w, content->size <= content->asked && content->limit == limit);
}

static void on_record(const struct rec_head *head, size_t size, void *arg)
{
	struct kept_content *content;

	world_record(head, size, arg);
	if (!contents)
		return;
	if (head->kind == REC_CONTENT)
		contents_put(contents, (const struct rec_content *)head, size);
	if (head->kind != REC_SEND)
		return;
	content = contents_take(contents, (const struct rec_transfer *)head);
	if (content && n_kept < SENDS_MAX)
		kept[n_kept++] = content;
	else
		free(content);
}

/* --- the scenario's side --- */

static unsigned char payload[PAYLOAD];
static unsigned letter;

/* Another payload each time, so that nothing of an earlier one can pass for it. */
static void payload_next(void)
{
	letter++;
	for (size_t i = 0; i < PAYLOAD; i++)
		payload[i] = (unsigned char)(letter * 31 + i * 7 + i / 251);
}

static void note(struct sends *sends, const void *bytes, size_t size, bool readable)
{
	struct sent *sent = &sends->sent[sends->n++];

	must(sends->n <= SENDS_MAX);
	sent->size = (uint32_t)size;
	sent->readable = readable;
	memcpy(sent->bytes, bytes, size < REC_CONTENT_MAX ? size : REC_CONTENT_MAX);
}

static void drain(int fd, size_t size)
{
	static char buf[1 << 16];

	for (size_t left = size; left;) {
		ssize_t n = recv(fd, buf, left < sizeof(buf) ? left : sizeof(buf), 0);

		must(n > 0);
		left -= (size_t)n;
	}
}

static void plain_sends(struct sends *sends, int pair[2])
{
	static const size_t sizes[] = { 1, 299, 300, 301, 4095, 4096, 4097, PAYLOAD };
	struct msghdr msg = { 0 };
	struct iovec one;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		payload_next();
		must(write(pair[0], payload, sizes[i]) == (ssize_t)sizes[i]);
		note(sends, payload, sizes[i], true);
		drain(pair[1], sizes[i]);
	}
	payload_next();
	must(send(pair[1], payload, 50, 0) == 50);
	note(sends, payload, 50, true);
	drain(pair[0], 50);
	payload_next();
	one = (struct iovec){ payload, 70 };
	msg.msg_iov = &one;
	msg.msg_iovlen = 1;
	must(sendmsg(pair[0], &msg, MSG_NOSIGNAL) == 70);
	note(sends, payload, 70, true);
	drain(pair[1], 70);
}

/* Pieces of all sizes, empty ones too, across pages; and more of them than are read. */
static void vector_sends(struct sends *sends, int pair[2])
{
	struct iovec pieces[5] = {
		{ payload, 0 }, { payload, 10 }, { payload + 10, 0 }, { payload + 10, 100 }, { payload + 110, 5000 },
	};
	struct iovec many[500];
	struct mmsghdr two[2] = { 0 };

	payload_next();
	must(writev(pair[0], pieces, 5) == 5110);
	note(sends, payload, 5110, true);
	drain(pair[1], 5110);
	payload_next();
	for (size_t i = 0; i < 500; i++)
		many[i] = (struct iovec){ payload + i, 1 };
	must(writev(pair[0], many, 500) == 500);
	note(sends, payload, 500, false);
	drain(pair[1], 500);
	payload_next();
	two[0].msg_hdr.msg_iov = &pieces[1];
	two[0].msg_hdr.msg_iovlen = 2;
	two[1].msg_hdr.msg_iov = &pieces[3];
	two[1].msg_hdr.msg_iovlen = 1;
	must(sendmmsg(pair[0], two, 2, 0) == 2);
	note(sends, payload, 10, true);
	note(sends, payload + 10, 100, true);
	drain(pair[1], 110);
}

/* What the kernel takes from a file or a pipe lies in pages. */
static void page_sends(struct sends *sends, int pair[2])
{
	int file = memfd_create("content", MFD_CLOEXEC), ends[2];
	off_t from = 500;

	payload_next();
	must(file >= 0 && write(file, payload, PAYLOAD) == PAYLOAD);
	must(sendfile(pair[0], file, &from, 1000) == 1000);
	note(sends, payload + 500, 1000, false);
	drain(pair[1], 1000);
	must(!pipe(ends));
	payload_next();
	must(write(ends[1], payload, 600) == 600);
	must(splice(ends[0], NULL, pair[0], NULL, 600, 0) == 600);
	note(sends, payload, 600, false);
	drain(pair[1], 600);
	close(ends[0]);
	close(ends[1]);
	close(file);
}

static void zerocopy_send(struct sends *sends, int pair[2])
{
	int on = 1;

	must(!setsockopt(pair[0], SOL_SOCKET, 60 /* SO_ZEROCOPY */, &on, sizeof(on)));
	payload_next();
	must(send(pair[0], payload, PAYLOAD, 0x4000000 /* MSG_ZEROCOPY */) == PAYLOAD);
	note(sends, payload, PAYLOAD, true);
	drain(pair[1], PAYLOAD);
}

/* One send through a ring of its own; a kernel may have none. */
static void uring_send(struct sends *sends, int pair[2])
{
	struct io_uring_params p = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 1, &p);
	struct io_uring_sqe *sqe;
	unsigned char *queue;
	uint32_t *array, *tail;

	if (ring < 0)
		return;
	queue = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(*array), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		     IORING_OFF_SQ_RING);
	sqe = mmap(NULL, p.sq_entries * sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	must(queue != MAP_FAILED && sqe != MAP_FAILED);
	array = (uint32_t *)(queue + p.sq_off.array);
	tail = (uint32_t *)(queue + p.sq_off.tail);
	payload_next();
	*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_SEND, .fd = pair[0], .addr = (uintptr_t)payload, .len = 800 };
	array[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	note(sends, payload, 800, true);
	drain(pair[1], 800);
	close(ring);
}

/* Memory that nobody has touched is in no page yet: the kernel reads it, we do not. */
static void absent_sends(struct sends *sends, int pair[2])
{
	long page = sysconf(_SC_PAGESIZE);
	unsigned char *memory =
		mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = memfd_create("absent", MFD_CLOEXEC);
	unsigned char *mapped;

	must(memory != MAP_FAILED && file >= 0);
	must(!madvise(memory, 2 * (size_t)page, MADV_NOHUGEPAGE));
	payload_next();
	memcpy(memory + page - 40, payload, 40); /* and the second page stays untouched: zeros */
	memset(payload + 40, 0, 160);
	must(write(pair[0], memory + page - 40, 200) == 200);
	note(sends, payload, 200, false);
	drain(pair[1], 200);
	payload_next();
	must(write(file, payload, 5000) == 5000);
	mapped = mmap(NULL, 5000, PROT_READ, MAP_SHARED, file, 0);
	must(mapped != MAP_FAILED);
	must(write(pair[0], mapped, 5000) == 5000);
	note(sends, payload, 5000, false);
	drain(pair[1], 5000);
	munmap(mapped, 5000);
	munmap(memory, 2 * (size_t)page);
	close(file);
}

static int every_way(void *shared)
{
	struct sends *sends = shared;
	int pair[2];

	pair_open(pair);
	plain_sends(sends, pair);
	vector_sends(sends, pair);
	page_sends(sends, pair);
	zerocopy_send(sends, pair);
	uring_send(sends, pair);
	absent_sends(sends, pair);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* Sends that find no room, and come to nothing, leave nothing behind that a later one could be taken for. */
static int failed_sends(void *shared)
{
	static unsigned char big[1 << 16];
	struct sends *sends = shared;
	size_t queued = 0, failed = 0;
	int pair[2];
	ssize_t n;

	pair_open(pair);
	must(!fcntl(pair[0], F_SETFL, O_NONBLOCK));
	while (failed < 3) {
		payload_next();
		memcpy(big, payload, PAYLOAD);
		n = send(pair[0], big, sizeof(big), 0);
		must(n > 0 || errno == EAGAIN);
		failed += n < 0;
		if (n < 0)
			continue;
		must(sends->n < SENDS_MAX - 1);
		queued += (size_t)n;
		note(sends, big, (size_t)n, true);
	}
	drain(pair[1], queued);
	payload_next();
	must(send(pair[0], payload, 20, 0) == 20);
	note(sends, payload, 20, true);
	drain(pair[1], 20);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* The text is in memory: of a constant that nobody has read yet the kernel may have to ask the disk, which BPF does not wait for. */
static int secret_sends(void *shared)
{
	char text[] = "user=bob password=hunter2 and more of it that is as long as it takes ........";
	struct sends *sends = shared;
	int pair[2];

	pair_open(pair);
	must(write(pair[0], text, sizeof(text)) == sizeof(text));
	note(sends, "user=bob [redacted] and", 23, true);
	drain(pair[1], sizeof(text));
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* --- the test's side --- */

static void kept_clear(void)
{
	while (n_kept)
		free(kept[--n_kept]);
}

static void run_with(struct world *w, int (*scenario)(void *), uint32_t bytes, char *pattern)
{
	char *patterns[] = { pattern, NULL };
	struct error e = { "" };
	struct gate gate;

	limit = bytes;
	kept_clear();
	contents_free(contents);
	contents = NULL;
	world_start(w, scenario, &gate);
	if (contents_new(limit, pattern ? patterns : NULL, &contents, &e) || tracer_content(w->tracer, limit, &e)) {
		printf("# %s\n", e.text);
		w->failures++;
	}
	world_finish_well(w, &gate);
}

/* Programs of this process whose name begins with content_. */
static size_t programs_loaded(void)
{
	char path[64], link[64];
	size_t n = 0;

	for (int fd = 0; fd < 256; fd++) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, link, sizeof(link) - 1);
		link[length > 0 ? length : 0] = '\0';
		if (strcmp(link, "anon_inode:bpf-prog") || bpf_obj_get_info_by_fd(fd, &info, &size))
			continue;
		n += !strncmp(info.name, "content_", 8);
	}
	return n;
}

/* Each send has what it sent, in the order of the scenario, as far as it was readable. */
static void check_kept(struct world *w)
{
	const struct sends *sends = (void *)w->shared;

	expect(w, programs_loaded() >= 1);
	check_common(w);
	expect(w, n_kept == sends->n && n_kept > 0);
	for (size_t i = 0; i < n_kept && i < sends->n; i++) {
		const struct sent *sent = &sends->sent[i];
		uint32_t whole = sent->size < limit ? sent->size : limit;

		expect(w, kept[i]->size <= whole && !memcmp(kept[i]->bytes, sent->bytes, kept[i]->size));
		expect(w, !sent->readable || kept[i]->size == whole);
		expect(w, !(kept[i]->flags & CONTENT_F_UNREADABLE) == (kept[i]->size == whole));
		/* of a send that the kernel cut short, too, something was left */
		expect(w, kept[i]->size == sent->size || kept[i]->flags & CONTENT_F_CUT);
		if (!sent->readable)
			printf("# send %zu: %u of %u bytes could be read\n", i + 1, kept[i]->size, whole);
	}
}

static void check_secret(struct world *w)
{
	expect(w, n_kept == 1);
	expect(w, n_kept && kept[0]->flags == CONTENT_F_REDACTED);
	expect(w, n_kept && !memmem(kept[0]->bytes, kept[0]->size, "hunter2", 7));
	expect(w, n_kept && !memcmp(kept[0]->bytes, "user=bob [redacted] and more", 28));
}

static void check_off(struct world *w)
{
	check_common(w);
	expect(w, !count_kind(w, REC_CONTENT) && count_kind(w, REC_SEND) > 10);
	expect(w, programs_loaded() == 0);
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);
	struct error e = { "" };

	if (!w)
		return status;
	tracer_close(w->tracer);
	if (tracer_open(getenv("BOP_BACKEND"), 0, true, on_record, w, &w->tracer, &e) || tracer_attach(w->tracer, &e)) {
		printf("not ok 1 - tracing works: %s\n", e.text);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	w->on_content = on_content;
	WORLD_TEST(w, status, every_way, check_off(w), "off, nothing is read, and no program that could is loaded");
	if (tracer_content(w->tracer, 1, &e) == -ENOTSUP) {
		printf("ok %d - content can be read # SKIP %s\n", ++w->tests, e.text);
		world_free(w);
		return !!status;
	}
	WORLD_TEST_OF(w, status, run_with(w, every_way, 300, NULL), check_kept(w),
		      "whatever way a program sends, its first bytes are kept, or said to be unreadable");
	WORLD_TEST_OF(w, status, run_with(w, every_way, REC_CONTENT_MAX, NULL), check_kept(w), "so are as many as can be kept");
	WORLD_TEST_OF(w, status, run_with(w, every_way, 1, NULL), check_kept(w), "so is one");
	WORLD_TEST_OF(w, status, run_with(w, failed_sends, 300, NULL), check_kept(w), "sends that come to nothing leave nothing behind");
	WORLD_TEST_OF(w, status, run_with(w, secret_sends, 300, "password=\\S+"), check_secret(w), "what a pattern matches is hidden before anybody sees it");
	WORLD_TEST(w, status, every_way, check_off(w), "off again: the program is gone");
	kept_clear();
	contents_free(contents);
	world_free(w);
	return !!status;
}
