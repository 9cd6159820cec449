/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See run.h. Losses: the kernel side counts what it could not record; each increase becomes a LOST event as soon as it
 * is seen, and the sum goes with the last batch.
 *
 * A deferred run keeps records as they come, and notes (marks, losses) among them so that all stay in order. Only while
 * somebody waits for a listener, and before a program is started, whose row must be behind theirs, they are dealt with.
 */
#include "tfj/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/claim.h"
#include "lib/clock.h"
#include "tfj/attached.h"
#include "tfj/batch.h"
#include "tfj/box.h"
#include "tfj/cgroup.h"
#include "tfj/content.h"
#include "tfj/crew.h"
#include "tfj/dispatch.h"
#include "tfj/hoard.h"
#include "tfj/inject.h"
#include "tfj/name.h"

#define KILL_WAIT_MS 5000
#define KILL_PAUSE_NS 100000
#define QUIET_TURNS 5	 /* so often in a row nothing came: no more will, though sockets are there still */
#define QUIET_TURNS_MAX 100
#define QUIET_NS (CLOCK_SECOND_NS / 1000)
#define LOSSES_NS (CLOCK_SECOND_NS / 5) /* each program is asked: too dear for every tick */
#define FILE_PATH_MAX 300

enum { TAG_RECORD, TAG_NOTE, TAG_CONTENT };

struct kept_note {
	enum event_kind kind;
	uint32_t process; /* of an event about a fault, whose number is value */
	int64_t value;
	uint64_t now_ns;
	char text[256];
};

struct run {
	struct run_place place;
	struct stream stream;
	struct boxes *boxes;
	struct names *names;
	struct crew *crew;
	struct attached *attached;
	struct hoard *hoard; /* NULL: live */
	struct contents *contents; /* NULL: off */
	struct inject *inject; /* NULL: no fault was ever ordered */
	bool deferring;
	struct cgroup cgroup;
	struct claim files; /* directory of the two below */
	struct claim directory; /* where the programs work, if nobody had made it: the collector is on another machine */
	char hosts[FILE_PATH_MAX], resolv[FILE_PATH_MAX];
	uint64_t before[COUNTER_COUNT]; /* the counters when the run began */
	uint64_t received; /* records that came out of the ring buffer */
	uint64_t lost, dropped; /* said so far */
	uint64_t losses_ns;	/* when they were looked for last */
};

static const char *const counter_texts[COUNTER_COUNT] = {
#define X(name, text) [COUNTER_##name] = text,
	COUNTERS(X)
#undef X
};

static int file_write(const char *path, const char *text, struct error *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), err = 0;
	size_t size = strlen(text);

	if (fd < 0 || write(fd, text, size) != (ssize_t)size || fchmod(fd, 0644) < 0)
		err = error_set(e, errno ? -errno : -EIO, "cannot write %s: %s", path, strerror(errno ? errno : EIO));
	if (fd >= 0)
		close(fd);
	return err;
}

static int files_make(struct run *run, struct error *e)
{
	char *hosts = boxes_hosts(run->boxes);
	int err;

	if (!hosts)
		return error_set(e, -ENOMEM, "out of memory");
	err = claim_open(&run->files, claim_base(), "run", NULL, 0755, e);
	if (!err) {
		snprintf(run->hosts, sizeof(run->hosts), "%s/hosts", run->files.path);
		snprintf(run->resolv, sizeof(run->resolv), "%s/resolv.conf", run->files.path);
		err = file_write(run->hosts, hosts, e);
	}
	if (!err)
		err = file_write(run->resolv, "", e);
	free(hosts);
	return err;
}

/* Tells the kernel side which boxes there are. */
static int boxes_announce(struct run *run, struct error *e)
{
	for (size_t i = 0; i < run->boxes->n_known; i++) {
		const struct box *box = &run->boxes->box[i];
		uint32_t number = run->place.box_base + box->index;
		int err = 0;

		if (i < run->boxes->n)
			err = box->guest ? tracer_add_guest(run->place.tracer, box->cookie, number, e) :
					   tracer_add_box(run->place.tracer, box->cookie, number, e);
		if (!err)
			err = tracer_add_address(run->place.tracer, number, box->ip4, e);
		if (!err && box->address6[0])
			err = tracer_add_address(run->place.tracer, number, box->ip6, e);
		if (err)
			return err;
	}
	return 0;
}

/* A process that is waited for listens. */
static void on_listen(void *arg, uint32_t root, uint16_t port)
{
	struct run *run = arg;
	const char *name = crew_ready(run->crew, root, port);

	if (name)
		run->place.on_ready(name, run->place.arg);
}

static void on_member_started(const char *name, uint32_t process, uint64_t order, int err, const char *error, pid_t pid, void *arg)
{
	struct run *run = arg;

	if (run->inject)
		inject_on_started(run->inject, name, process, !order, err, error, clock_monotonic_ns());
	if (order)
		run->place.on_started(order, err, error, pid, run->place.arg);
}

static void on_member_exited(const char *name, uint32_t process, uint32_t status, const char *output, size_t size, void *arg)
{
	struct run *run = arg;
	uint32_t fault = 0;
	bool restarts = false;

	if (run->inject) {
		run_drain(run); /* what ended it was recorded before */
		inject_on_exited(run->inject, name, process, status, clock_monotonic_ns(), &fault, &restarts);
	}
	run->place.on_exited(name, status, output, size, fault, restarts, run->place.arg);
}

static void on_attached_exited(const char *name, uint32_t status, void *arg)
{
	struct run *run = arg;

	run->place.on_exited(name, status, "", 0, 0, false, run->place.arg);
}

static const struct sock_fprog *on_failing(const char *label, void *arg)
{
	struct run *run = arg;

	return run->inject ? inject_failing(run->inject, label) : NULL;
}

/* Those that are there, if we serve such; else they are made. Then the others of the run. */
static int boxes_find_or_make(struct run *run, const struct message_order *order, struct error *e)
{
	const struct served *served = run->place.served;
	int err = 0;

	for (char **name = order->begin.boxes; served->n && *name && !err; name++)
		if (!served_find(served, *name))
			err = error_set(e, -ENOENT, "this agent serves no box '%s'", *name);
	if (err)
		return err;
	err = served->n && served->box[0].guest ? boxes_guests(order->begin.boxes, served, &run->boxes, e) :
						  boxes_open(order->begin.boxes, &run->boxes, e);
	if (!err && order->begin.n_peers)
		err = boxes_peers(run->boxes, order->begin.peers, order->begin.n_peers, e);
	return err;
}

/*
 * The run's directory is named by the collector, bop.run.TAG with a tag that nobody else has. On the collector's machine it
 * is there; elsewhere it is ours to make, and to remove.
 */
static int directory_make(struct run *run, const char *path, struct error *e)
{
	const char *slash = strrchr(path, '/'), *tag = strrchr(path, '.');
	char base[FILE_PATH_MAX];

	if (access(path, F_OK) == 0 || !slash || strncmp(slash, "/bop.run.", 9) || !tag)
		return 0;
	snprintf(base, sizeof(base), "%.*s", (int)(slash - path), path);
	if (claim_open(&run->directory, base, "run", tag + 1, 0711, e) == 0 || access(path, F_OK) == 0)
		return 0; /* another agent of this machine may have been quicker */
	return -EIO;
}

int run_open(const struct run_place *place, const struct message_order *order, struct run **ret_run, struct error *e)
{
	struct run *run = calloc(1, sizeof(*run));
	struct crew_events events = { on_member_started, on_member_exited, on_failing, run };
	struct crew_place crew = { .tracer = place->tracer, .epoll = place->epoll };
	struct attached_place attached;
	int err;

	if (!run)
		return error_set(e, -ENOMEM, "out of memory");
	run->place = *place;
	run->cgroup = (struct cgroup)CGROUP_NONE;
	run->files = run->directory = (struct claim)CLAIM_NONE;
	stream_init(&run->stream, order->begin.run);
	tracer_drain(place->tracer); /* what is left of others is not ours */
	tracer_counters(place->tracer, run->before);
	err = boxes_find_or_make(run, order, e);
	if (!err)
		err = directory_make(run, order->begin.directory, e);
	if (!err)
		err = files_make(run, e);
	if (!err)
		err = cgroup_open(&run->cgroup, place->cgroup_root, e);
	if (!err)
		err = boxes_announce(run, e);
	if (err)
		goto out;
	if (order->begin.deferred) {
		run->hoard = hoard_new(place->room);
		if (!run->hoard) {
			err = error_set(e, -ENOMEM, "out of memory");
			goto out;
		}
	}
	if (order->begin.content_bytes)
		err = contents_new(order->begin.content_bytes, order->begin.redact, &run->contents, e);
	if (run->contents)
		err = tracer_content(place->tracer, order->begin.content_bytes, e);
	if (!err && order->begin.transports)
		err = tracer_transports(place->tracer, order->begin.transports, e);
	if (err)
		goto out;
	run->names = names_new(&run->stream, run->boxes, place->box_base, on_listen, run);
	crew.names = run->names;
	crew.stream = &run->stream;
	crew.boxes = run->boxes;
	crew.cgroup = &run->cgroup;
	crew.hosts = run->hosts;
	crew.resolv = run->boxes->box[0].guest ? NULL : run->resolv; /* a guest has its own way to names outside */
	crew.box_base = place->box_base;
	attached = (struct attached_place){ place->tracer, run->names, run->boxes, place->box_base, on_attached_exited, run };
	run->attached = run->names ? attached_new(&attached) : NULL;
	run->crew = run->attached ? crew_new(&crew, &events) : NULL;
	if (!run->crew)
		err = error_set(e, -ENOMEM, "out of memory");
out:
	if (err)
		boxes_close(run_close(run));
	else
		*ret_run = run;
	return err;
}

/* Is a child left? */
static bool reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (run->crew)
			crew_on_exit(run->crew, pid, status);
	return pid == 0;
}

/* What left the cgroup came to us when its parent died: all our children are of the run. */
static void children_kill(void)
{
	FILE *f = fopen("/proc/thread-self/children", "re");
	int pid;

	while (f && fscanf(f, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	if (f)
		fclose(f);
}

static int kill_all(struct run *run)
{
	uint64_t end = clock_monotonic_ns() + KILL_WAIT_MS * (CLOCK_SECOND_NS / 1000);
	int err = 0;

	if (run->cgroup.events >= 0) {
		err = cgroup_kill(&run->cgroup);
		if (!err)
			err = cgroup_wait_empty(&run->cgroup, KILL_WAIT_MS);
	}
	while (reap(run)) {
		if (clock_monotonic_ns() > end)
			return err ? err : -ETIMEDOUT;
		children_kill();
		nanosleep(&(struct timespec){ .tv_nsec = KILL_PAUSE_NS }, NULL);
	}
	return err;
}

struct boxes *run_close(struct run *run)
{
	struct boxes *boxes;

	if (!run)
		return NULL;
	boxes = run->boxes;
	kill_all(run);
	inject_free(run->inject);
	tracer_clear(run->place.tracer);
	crew_free(run->crew);
	attached_free(run->attached);
	names_free(run->names);
	hoard_free(run->hoard);
	contents_free(run->contents);
	cgroup_remove(&run->cgroup);
	if (run->files.fd >= 0)
		claim_remove_tree(run->files.path);
	claim_close(&run->files);
	if (run->directory.fd >= 0)
		claim_remove_tree(run->directory.path);
	claim_close(&run->directory);
	stream_fini(&run->stream);
	free(run);
	return boxes;
}

int run_boxes(const struct run *run, struct trace_box **ret_boxes, size_t *ret_n)
{
	struct trace_box *rows = calloc(run->boxes->n + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < run->boxes->n; i++) {
		rows[i].name = run->boxes->box[i].name;
		rows[i].address = run->boxes->box[i].address;
		rows[i].address6 = run->boxes->box[i].address6;
	}
	*ret_boxes = rows;
	*ret_n = run->boxes->n;
	return 0;
}

static int cut(struct run *run, bool last, uint64_t emitted)
{
	return dispatch(&run->stream, run->place.link, last, emitted, run->lost);
}

/* Deals with a record now. */
static void take(struct run *run, const struct rec_head *record, size_t size)
{
	names_record(run->names, record, size);
	if (stream_due(&run->stream))
		cut(run, false, 0);
}

static void take_content(struct run *run, const struct kept_content *kept)
{
	names_content(run->names, kept);
	if (stream_due(&run->stream))
		cut(run, false, 0);
}

static void take_note(struct run *run, const struct kept_note *note)
{
	if (event_is_fault(note->kind))
		names_fault_event(run->names, note->kind, (uint32_t)note->value, note->process, note->now_ns);
	else
		names_note(run->names, note->kind, note->value, note->text, note->now_ns);
}

static void on_kept(uint32_t tag, const void *kept, size_t size, void *arg)
{
	const struct kept_note *note = kept;
	struct run *run = arg;

	if (tag == TAG_RECORD)
		take(run, kept, size);
	else if (tag == TAG_CONTENT)
		take_content(run, kept);
	else
		take_note(run, note);
}

int run_replay(struct run *run)
{
	uint64_t lost = 0;
	int more = run->hoard ? hoard_take(run->hoard, on_kept, run, &lost) : 0;

	if (!lost)
		return more > 0;
	run->lost += lost;
	names_note(run->names, EVENT_LOST, (int64_t)lost, "records that were kept and cannot be read back",
		   clock_monotonic_ns());
	return hoard_count(run->hoard) > 0;
}

static void catch_up(struct run *run)
{
	while (run_replay(run))
		;
}

/* Behind everything that came before. */
static void note_keep(struct run *run, const struct kept_note *note)
{
	if (!run->hoard || !hoard_count(run->hoard) || hoard_add(run->hoard, TAG_NOTE, note, sizeof(*note)) < 0)
		take_note(run, note);
}

static void note(struct run *run, enum event_kind kind, uint64_t value, const char *text)
{
	struct kept_note kept = { .kind = kind, .value = (int64_t)value, .now_ns = clock_monotonic_ns() };

	snprintf(kept.text, sizeof(kept.text), "%s", text);
	note_keep(run, &kept);
}

void run_drain(struct run *run)
{
	run->deferring = run->hoard && !run_waits(run);
	if (!run->deferring)
		catch_up(run);
	tracer_drain(run->place.tracer);
}

int run_start(struct run *run, uint64_t order, const struct message_start *start, struct error *e)
{
	if (!start->untraced)
		catch_up(run);
	return crew_start(run->crew, order, start, clock_monotonic_ns(), e);
}

int run_attach(struct run *run, const struct message_attach *attach, pid_t *ret_pid, struct error *e)
{
	int err = run->inject ? inject_spares(run->inject, attach->name, e) : 0;

	if (err)
		return err;
	catch_up(run);
	return attached_add(run->attached, attach, clock_monotonic_ns(), ret_pid, e);
}

int run_signal(struct run *run, const char *name, int signal, struct error *e)
{
	return crew_signal(run->crew, name, signal, e);
}

void run_mark(struct run *run, const char *text)
{
	/* what happened before the mark comes before it in the stream too */
	run_drain(run);
	note(run, EVENT_MARK, 0, text);
	if (run->inject && !strcmp(text, "teardown"))
		inject_no_restarts(run->inject);
}

/* ---- faults ---- */

static void on_fault_settle(void *arg)
{
	struct run *run = arg;

	tracer_drain(run->place.tracer);
	catch_up(run);
}

static void on_fault_event(enum event_kind kind, uint32_t id, uint32_t process, uint64_t now_ns, void *arg)
{
	note_keep(arg, &(struct kept_note){ .kind = kind, .process = process, .value = id, .now_ns = now_ns });
}

static void on_fault_receipts(const struct fault_receipt *rows, size_t n, void *arg)
{
	struct run *run = arg;

	run->place.on_receipts(rows, n, run->place.arg);
}

static void on_fault_no_restart(const char *name, uint32_t status, uint32_t fault, void *arg)
{
	struct run *run = arg;

	run->place.on_exited(name, status, "", 0, fault, false, run->place.arg);
}

static bool on_fault_is_attached(const char *label, void *arg)
{
	const struct run *run = arg;

	return attached_has(run->attached, label);
}

static int on_fault_link_peer(uint8_t ret_ip[16], uint16_t *ret_port, void *arg)
{
	const struct run *run = arg;

	return link_peer(run->place.link, ret_ip, ret_port);
}

int run_arm(struct run *run, const struct message_order *order, struct error *e)
{
	struct inject_place place = {
		.tracer = run->place.tracer,
		.faults = run->place.faults,
		.guardian = run->place.guardian,
		.boxes = run->boxes,
		.cgroup = &run->cgroup,
		.stream = &run->stream,
		.names = run->names,
		.crew = run->crew,
		.box_base = run->place.box_base,
		.link_peer = on_fault_link_peer,
		.is_attached = on_fault_is_attached,
		.settle = on_fault_settle,
		.on_event = on_fault_event,
		.on_receipts = on_fault_receipts,
		.on_no_restart = on_fault_no_restart,
		.arg = run,
	};

	run_drain(run);
	if (!run->inject)
		run->inject = inject_new(&place);
	if (!run->inject)
		return error_set(e, -ENOMEM, "out of memory");
	return inject_arm(run->inject, order->arm.faults, order->arm.n, order->arm.armed_ns, clock_monotonic_ns(), e);
}

int run_lift(struct run *run, uint32_t fault, struct error *e)
{
	if (!run->inject)
		return fault ? error_set(e, -ENOENT, "there is no fault %u", fault) : 0;
	run_drain(run);
	return inject_lift(run->inject, fault, clock_monotonic_ns(), e);
}

void run_inject(struct run *run)
{
	if (run->inject)
		inject_tick(run->inject, clock_monotonic_ns());
}

uint64_t run_inject_next(const struct run *run)
{
	return run->inject ? inject_next(run->inject) : UINT64_MAX;
}

/* The last word on each goes with the last batches. */
static void receipts_keep(struct run *run)
{
	struct fault_receipt *rows = NULL, *to;
	size_t n = 0;

	if (!run->inject || inject_receipts(run->inject, &rows, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		to = trace_receipt_add(&run->stream.part);
		if (to)
			*to = rows[i];
		else
			fault_receipt_fini(&rows[i]);
	}
	free(rows);
}

/* A LOST event for each loss that was not told yet. */
static void losses_say(struct run *run)
{
	uint64_t now[COUNTER_COUNT], lost;

	tracer_counters(run->place.tracer, now);
	for (int i = 0; i < COUNTER_COUNT; i++) {
		if (i == COUNTER_EMITTED || now[i] == run->before[i])
			continue;
		lost = now[i] - run->before[i];
		note(run, EVENT_LOST, lost, counter_texts[i]);
		run->before[i] = now[i];
		run->lost += lost;
	}
	lost = run->stream.dropped - run->dropped;
	if (!lost)
		return;
	run->dropped += lost;
	run->lost += lost;
	note(run, EVENT_LOST, lost, "events that the agent had no memory for");
}

void run_send(struct run *run)
{
	uint64_t now = clock_monotonic_ns();

	if (now - run->losses_ns > LOSSES_NS) {
		run->losses_ns = now;
		losses_say(run);
	}
	if (!stream_empty(&run->stream))
		cut(run, false, 0);
}

/* What a message says is filtered before it is kept, which may be on a disk. */
static void content_of(struct run *run, const struct rec_transfer *send)
{
	struct kept_content *kept = send->local ? NULL : contents_take(run->contents, send);

	if (kept && !run->deferring)
		take_content(run, kept);
	else if (kept && hoard_add(run->hoard, TAG_CONTENT, kept, sizeof(*kept) + kept->size) < 0)
		run->stream.dropped++;
	free(kept);
}

void run_record(struct run *run, const struct rec_head *record, size_t size)
{
	run->received++;
	if (!run->names)
		return;
	if (run->attached)
		attached_record(run->attached, record, size);
	if (record->kind == REC_FAULT && run->inject)
		inject_record(run->inject, (const struct rec_fault *)record, size, clock_monotonic_ns());
	if (record->kind == REC_CONTENT) {
		if (run->contents)
			contents_put(run->contents, (const struct rec_content *)record, size);
		return;
	}
	if (!run->deferring)
		take(run, record, size);
	else if (hoard_add(run->hoard, TAG_RECORD, record, size) < 0)
		run->stream.dropped++;
	if (run->contents && record->kind == REC_SEND && size >= sizeof(struct rec_transfer))
		content_of(run, (const struct rec_transfer *)record);
	if (run->contents && record->kind == REC_EXIT)
		contents_end(run->contents, record->tid);
}

void run_on_exit(struct run *run, pid_t pid, int status)
{
	crew_on_exit(run->crew, pid, status);
}

void run_on_ready(struct run *run, void *data)
{
	crew_on_ready(run->crew, data);
}

bool run_waits(const struct run *run)
{
	return crew_waits(run->crew) || (run->inject && inject_hurries(run->inject));
}

uint64_t run_events(const struct run *run)
{
	return run->stream.events + (run->hoard ? hoard_count(run->hoard) : 0);
}

bool run_deferred(const struct run *run)
{
	return run->deferring;
}

static void on_due(void *arg)
{
	cut(arg, false, 0);
}

/* Sockets of dead processes still say goodbye to each other for a moment. It is over when the kernel forgot them all. */
static void drain_until_quiet(struct run *run)
{
	int quiet = 0;

	for (int i = 0; i < QUIET_TURNS_MAX && quiet < QUIET_TURNS; i++) {
		quiet = tracer_drain(run->place.tracer) > 0 ? 0 : quiet + 1;
		if (!names_open_ends(run->names))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = QUIET_NS }, NULL);
	}
}

/* Every record that the kernel side says it made must have come. Returns how many it made. */
static uint64_t emitted_check(struct run *run)
{
	uint64_t now[COUNTER_COUNT], emitted;

	tracer_drain(run->place.tracer);
	tracer_counters(run->place.tracer, now);
	emitted = now[COUNTER_EMITTED] - run->before[COUNTER_EMITTED];
	if (emitted > run->received) {
		run->lost += emitted - run->received;
		note(run, EVENT_LOST, emitted - run->received, "records that the kernel made and that did not arrive");
	}
	return emitted;
}

int run_stop(struct run *run, struct error *e)
{
	int err;

	if (run->inject) {
		run_drain(run);
		inject_disarm(run->inject, clock_monotonic_ns());
	}
	err = kill_all(run);
	tracer_drain(run->place.tracer);
	if (attached_any(run->attached)) { /* those go on, whatever is still to be done for this run */
		drain_until_quiet(run);
		tracer_stop(run->place.tracer);
		drain_until_quiet(run);
	}
	return err ? error_set(e, err, "not every process could be killed: %s", strerror(-err)) : 0;
}

int run_finish(struct run *run, struct error *e)
{
	int err = 0, cut_err;
	uint64_t emitted;

	catch_up(run);
	run->deferring = false;
	drain_until_quiet(run);
	reap(run);
	emitted = emitted_check(run);
	crew_flush(run->crew, on_due, run);
	losses_say(run);
	receipts_keep(run);
	cut_err = cut(run, true, emitted);
	if (cut_err)
		err = error_set(e, cut_err, "the last batch cannot be made: %s", strerror(-cut_err));
	return err;
}
