/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See serve.h. What a peer does wrong is counted and told; what the server itself cannot do ends it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "collector/interrupt.h"
#include "collector/run.h"
#include "collector/serve_inside.h"
#include "lib/claim.h"
#include "lib/clock.h"
#include "lib/place.h"

#define BURST 256
#define WAIT_MAX_NS CLOCK_SECOND_NS
#define LEAVE_NS (5 * CLOCK_SECOND_NS) /* for the last answers, when the server ends */
#define LEAVE_LOOK_MS 10

enum { ITEM_SERVER, ITEM_API = ITEM_SERVER + SERVER_ITEMS, ITEM_API_MONITOR, ITEM_SIGNALS, ITEM_WORKERS, ITEM_QUERIES, ITEM_AGENT, ITEM_REMOTE,
	ITEMS = ITEM_REMOTE + SERVE_REMOTE_ITEMS };

void serve_log(const char *format, ...)
{
	struct error line;
	char text[sizeof(line.text)], when[32];
	time_t now = time(NULL);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	error_set(&line, 0, "%s", text); /* what peers say is in it: no control characters */
	strftime(when, sizeof(when), "%F %T", localtime(&now));
	fprintf(stderr, "%s %s\n", when, line.text);
}

/* Private, or refused: who can change it could stand in for us. */
static int directory_make(const char *path, bool *ret_fresh, struct error *e)
{
	struct stat st;

	*ret_fresh = mkdir(path, 0700) == 0;
	if (!*ret_fresh && errno != EEXIST)
		return error_set(e, -errno, "cannot make the server's directory '%s': %s", path, strerror(errno));
	if (lstat(path, &st) < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return error_set(e, -EPERM, "%s: the server's directory must be yours and closed to others (chmod 700)", path);
	return 0;
}

/* What we made there; the directory itself only if nobody has anything else in it. */
static void directory_remove(const char *directory)
{
	static const char *const names[] = { "agents", "api", "lock" };
	char path[PATH_MAX + 8];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

static int lock_take(struct serve *serve, struct error *e)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/lock", serve->directory);
	serve->lock = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (serve->lock < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	if (flock(serve->lock, LOCK_EX | LOCK_NB) < 0) {
		close(serve->lock);
		serve->lock = -1; /* what is there is not ours: serve_close() leaves it */
		return error_set(e, -EBUSY, "a server runs in %s already; give this one another directory (--dir)",
				 serve->directory);
	}
	if (ftruncate(serve->lock, 0) < 0 || dprintf(serve->lock, "%d\n", getpid()) < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int signals_open(struct serve *serve, struct error *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	serve->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return serve->signals < 0 ? error_set(e, -errno, "signalfd: %s", strerror(errno)) : 0;
}

/* Ends with whoever started it, not with a Ctrl-C that is meant for that one. */
static int private_begin(struct error *e)
{
	pid_t parent = getppid();

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	return getppid() == parent ? 0 : error_set(e, -EOWNERDEAD, "whoever started this server has ended");
}

static int listen_check(const char *listen, struct error *e)
{
	const char *colon = strrchr(listen, ':');

	if (strncmp(listen, "tcp://", 6) || colon == listen + 3 || !colon[1])
		return error_set(e, -EINVAL, "'%s' is no address to listen on; it looks like tcp://0.0.0.0:7100", listen);
	return 0;
}

/* The secret, and the folder of those who may come. */
static int keys_read(const struct serve_options *options, char secret[KEY_SIZE], char folder[PATH_MAX], struct error *e)
{
	char path[PATH_MAX + 32], public[KEY_SIZE];
	int err = options->listen ? listen_check(options->listen, e) : 0;

	if (!err && options->listen_api)
		err = listen_check(options->listen_api, e);
	if (!err)
		err = allowed_folder(options->keys, false, folder, e);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/" ALLOWED_SERVER ".secret", folder);
	err = key_read_secret(path, secret, public, e);
	if (err == -ENOENT)
		return error_set(e, err, "TCP needs CURVE keys on both sides, and the server has none: make them with "
				 "`bop keys make " ALLOWED_SERVER "` (%s is missing)", path);
	if (!err)
		serve_log("the server's key is '%s'", public);
	return err;
}

/* For controllers of other machines. */
static int remote_open(struct serve *serve, const char *listen, const char *secret, const char *folder, struct error *e)
{
	int err = serve_remote_open(listen, secret, folder, &serve->remote, e);

	if (!err)
		serve_log("controllers on %s, %zu keys may connect", listen, serve_remote_keys(serve->remote));
	return err;
}

static void on_news(struct server_agent *agent, enum server_news news, void *arg)
{
	static const char *const words[] = { [SERVER_CAME] = "came", [SERVER_BACK] = "is back", [SERVER_WENT] = "went",
					     [SERVER_CUT] = "was cut off" };

	serve_log("agent %s%s%s %s%s%s", agent->key, *agent->key ? " on " : "", agent->hello->host, words[news],
		  *agent->address ? ", from " : "", agent->address);
	acts_news(arg, agent, news);
}

static int doors_open(struct serve *serve, const struct serve_options *options, struct error *e)
{
	char secret[KEY_SIZE], folder[PATH_MAX], url[SERVE_API_URL_MAX];
	struct server_options server = {
		.directory = serve->directory, .listen = options->listen, .secret = secret, .allowed = &serve->allowed,
		.on_news = on_news, .arg = serve,
	};
	struct door_options api = { .url = url, .frame_max = API_MAX_REQUEST, .queue = 64, .refusals = &serve->api_refusals };
	int err = options->listen || options->listen_api ? keys_read(options, secret, folder, e) : 0;

	if (!err && options->listen)
		err = allowed_open(&serve->allowed, folder, ALLOWED_AGENTS, e);
	if (!err && options->listen)
		serve_log("agents on %s, %zu keys may connect", options->listen, serve->allowed.n);
	if (!err)
		err = server_open(serve->context, &server, &serve->server, serve->agents_url, e);
	if (!err && options->listen_api)
		err = remote_open(serve, options->listen_api, secret, folder, e);
	explicit_bzero(secret, sizeof(secret));
	snprintf(url, sizeof(url), "ipc://%s/api", serve->directory);
	if (!err)
		err = door_open(serve->context, &api, &serve->api, e);
	if (!err && !(serve->outbox = outbox_new(serve->api)))
		err = error_set(e, -ENOMEM, "out of memory");
	return err;
}

/* A connection takes a descriptor: strangers should not use up what agents need. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int remove_stale(struct claim *claim, void *arg)
{
	return claim_remove_tree(claim->path);
}

static void heirs_tell(void *arg, uint64_t run, const struct error *why)
{
	struct serve *serve = arg;

	serve_log("run %llu, of a server that was killed: %s", (unsigned long long)run, why ? why->text : "sealed");
	if (!why && serve->workers) /* what it did is looked at beside us */
		catch_up_begin(serve);
}

int serve_open(const struct serve_options *options, struct serve **ret_serve, struct error *e)
{
	struct serve *serve = calloc(1, sizeof(*serve));
	struct heirs_door heirs = { .acknowledge = acts_acknowledge, .tell = heirs_tell, .arg = serve };
	bool fresh = false; /* the directory */
	int err = 0;

	if (!serve)
		return error_set(e, -ENOMEM, "out of memory");
	serve->lock = serve->signals = -1;
	serve->agent = (struct serve_agent)SERVE_AGENT_NONE;
	serve->private = options->private;
	if (options->private)
		err = private_begin(e);
	serve->store_url = options->store;
	store_name(options->store, serve->store_name);
	if (!err && !options->directory)
		err = place_server(serve->directory, e);
	else if (!err && !realpath(options->directory, serve->directory)) {
		if (errno == ENOENT) /* what realpath() left there is how far it came */
			snprintf(serve->directory, sizeof(serve->directory), "%s", options->directory);
		else
			err = error_set(e, -errno, "%s: %s", options->directory, strerror(errno));
	}
	if (!err)
		err = directory_make(serve->directory, &fresh, e);
	if (!err && options->directory && !realpath(options->directory, serve->directory))
		err = error_set(e, -errno, "%s: %s", options->directory, strerror(errno));
	if (!err)
		err = lock_take(serve, e);
	if (!err)
		err = signals_open(serve, e);
	if (!err)
		err = workers_open(&serve->workers, e);
	if (!err)
		err = queries_open(serve, &serve->queries, e);
	if (!err)
		err = store_open(options->store, STORE_CREATE, &serve->store, e);
	if (!err && !strchr(options->store, ':') && realpath(options->store, serve->store_path)) {
		serve->store_url = serve->store_path; /* means the same to whoever asks */
		store_name(serve->store_url, serve->store_name);
	}
	heirs.workers = serve->workers;
	heirs.store_url = serve->store_url;
	if (!err)
		err = heirs_open(serve->store, clock_monotonic_ns(), &heirs, &serve->heirs, e);
	if (err >= 0) {
		err = 0;
		descriptors_raise();
		claim_sweep(claim_base(), "run", remove_stale, NULL, NULL);
		serve->context = zmq_ctx_new();
		err = serve->context ? doors_open(serve, options, e) : error_set(e, -ENOMEM, "out of memory");
	}
	if (!err && options->agent)
		err = serve_agent_open(&serve->agent, serve->agents_url, options->boxes, options->n_boxes, e);
	if (err) {
		serve->private |= fresh;
		serve_close(serve);
		return err;
	}
	catch_up_begin(serve);
	*ret_serve = serve;
	return 0;
}

void serve_close(struct serve *serve)
{
	if (!serve)
		return;
	serve_agent_close(&serve->agent);
	queries_close(serve->queries);
	workers_close(serve->workers); /* now nobody else has an act in hand */
	serve->workers = NULL;
	free(serve->catch_up);
	acts_free(serve);
	heirs_close(serve->heirs);
	outbox_free(serve->outbox);
	door_close(serve->api, 1000);
	serve_remote_close(serve->remote);
	server_close(serve->server);
	if (serve->context)
		zmq_ctx_term(serve->context);
	allowed_fini(&serve->allowed);
	store_close(serve->store);
	if (serve->signals >= 0)
		close(serve->signals);
	if (serve->lock >= 0 && serve->private)
		directory_remove(serve->directory);
	if (serve->lock >= 0)
		close(serve->lock);
	free(serve);
}

static void signals_read(struct serve *serve, uint64_t now)
{
	struct signalfd_siginfo info;

	while (read(serve->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			continue; /* the list of keys is read again by itself */
		if (serve->signal_ns && now - serve->signal_ns < INTERRUPT_BLINK_NS)
			continue;
		serve->signal_ns = now;
		serve->stopping++;
		serve_log(serve->stopping == 1 ? "stopping; again: at once" : "stopping at once");
		acts_stop(serve, serve->stopping > 1, now);
	}
}

void serve_client_gone(struct door *door, int fd, void *arg)
{
	struct serve *serve = arg;

	queries_client_gone(serve->queries, door, fd);
	acts_client_gone(serve, door, fd, clock_monotonic_ns());
}

static void on_cut(const struct door_id *controller, void *arg)
{
	api_refuse(arg, controller, 0, -EACCES, "this key was taken off the list of controllers: what it asked for ends");
}

static void wait_for_something(struct serve *serve, uint64_t now)
{
	uint64_t acts = acts_deadline(serve), answers = outbox_deadline(serve->outbox), agents = server_deadline(serve->server, now);
	uint64_t remote = serve->remote ? outbox_deadline(serve_remote_outbox(serve->remote)) : UINT64_MAX;
	uint64_t until = acts < answers ? acts : answers, wait_ns;
	zmq_pollitem_t items[ITEMS];
	int n = server_items(serve->server, items);

	until = remote < until ? remote : until;
	until = agents < until ? agents : until;
	wait_ns = until > now ? until - now : 0;
	if (serve->remote)
		serve_remote_items(serve->remote, items + n);
	n += serve->remote ? SERVE_REMOTE_ITEMS : 0;

	door_items(serve->api, items + n);
	items[n + 2] = (zmq_pollitem_t){ .fd = serve->signals, .events = ZMQ_POLLIN };
	items[n + 3] = (zmq_pollitem_t){ .fd = workers_fd(serve->workers), .events = ZMQ_POLLIN };
	items[n + 4] = (zmq_pollitem_t){ .fd = queries_fd(serve->queries), .events = ZMQ_POLLIN };
	if (wait_ns > WAIT_MAX_NS)
		wait_ns = WAIT_MAX_NS;
	items[n + 5] = (zmq_pollitem_t){ .fd = serve->agent.process.pidfd, .events = ZMQ_POLLIN };
	zmq_poll(items, n + 5 + (serve->agent.process.pid && !serve->agent.process.ended), (long)((wait_ns + 999999) / 1000000));
}

static int agents_hear(struct serve *serve, struct error *e)
{
	const struct message *message;
	struct server_agent *agent;
	int err = 1;

	for (int i = 0; i < BURST && err > 0 && !acts_full(serve); i++) {
		err = server_receive(serve->server, &agent, &message, e);
		if (err > 0)
			acts_message(serve, agent, message, clock_monotonic_ns());
	}
	return err < 0 ? err : 0;
}

/* Runs on it end as errors; others in order. */
static int agent_look(struct serve *serve, uint64_t now, struct error *e)
{
	if (serve->agent.process.ended || !serve_agent_ended(&serve->agent, e))
		return 0;
	serve_log("%s", e->text);
	serve->stopping++;
	acts_stop(serve, false, now);
	return -ECHILD;
}

static bool answers_wait(const struct serve *serve)
{
	return !outbox_empty(serve->outbox) || (serve->remote && !outbox_empty(serve_remote_outbox(serve->remote)));
}

/* Who is slow to read still gets what must arrive, as the end of its run; nobody else is heard any more. */
static void answers_leave(struct serve *serve)
{
	uint64_t now = clock_monotonic_ns(), until = now + LEAVE_NS;
	zmq_pollitem_t items[DOOR_ITEMS + SERVE_REMOTE_ITEMS + 1];
	int n = DOOR_ITEMS + (serve->remote ? SERVE_REMOTE_ITEMS : 0);

	door_items(serve->api, items);
	if (serve->remote)
		serve_remote_items(serve->remote, items + DOOR_ITEMS);
	while (answers_wait(serve) && now < until && serve->stopping < 2) {
		for (int i = 0; i < n; i++)
			items[i].events = 0; /* looked at all the same: so ZeroMQ lets go of what was for somebody who is gone */
		items[n] = (zmq_pollitem_t){ .fd = serve->signals, .events = ZMQ_POLLIN };
		zmq_poll(items, n + 1, LEAVE_LOOK_MS);
		now = clock_monotonic_ns();
		signals_read(serve, now);
		outbox_time(serve->outbox, now);
		if (serve->remote)
			outbox_time(serve_remote_outbox(serve->remote), now);
	}
}

int serve_loop(struct serve *serve, struct error *e)
{
	uint64_t now = clock_monotonic_ns();
	int err = 0, ended = 0;
	struct error why;

	serve_log("bop %s serves %s, runs are kept in %s", BOP_VERSION, serve->directory, serve->store_name);
	while (!err && (!serve->stopping || serve->acts)) {
		wait_for_something(serve, now);
		now = clock_monotonic_ns();
		signals_read(serve, now);
		if (agent_look(serve, now, &why))
			ended = error_set(e, -ECHILD, "%s", why.text);
		door_watch(serve->api, serve_client_gone, serve);
		server_work(serve->server, now);
		if (serve->remote)
			serve_remote_work(serve->remote, now, serve_client_gone, on_cut, serve);
		err = agents_hear(serve, e);
		api_work(serve, now);
		now = clock_monotonic_ns();
		acts_time(serve, now);
		workers_done(serve->workers);
		queries_done(serve->queries);
		lists_tell(serve);
		strangers_tell(serve, now);
	}
	answers_leave(serve);
	return err ? err : ended;
}
