/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of `bop serve`: serve.c (opening, the loop), serve_api.c (requests), serve_run.c (runs). Nobody else includes this. */
#ifndef COLLECTOR_SERVE_INSIDE_H
#define COLLECTOR_SERVE_INSIDE_H

#include "collector/course.h"
#include "collector/door.h"
#include "collector/heir.h"
#include "collector/outbox.h"
#include "collector/serve.h"
#include "collector/serve_agent.h"
#include "collector/serve_remote.h"
#include "collector/serve_query.h"
#include "collector/server.h"
#include "collector/worker.h"
#include "proto/api.h"

#define SERVE_SUBSCRIBERS_MAX 256u
#define SERVE_WAITERS_MAX 1024u /* of a run */
#define SERVE_REPEAT_MAX 10000 /* runs */

/* A run, and whom its end is told to. */
struct act {
	struct worker_job job; /* counting what was recorded; first: it stands for the act */
	struct act *prev, *next;
	struct serve *serve;
	struct experiment *x;
	struct plan plan;
	struct cast cast;
	struct server_agent **agents; /* by place in the cast */
	struct course *course;
	char **warnings; /* NULL-terminated; NULL: none */
	size_t n_warnings;
	struct door_id client;
	int fd; /* of the client's connection */
	uint64_t request;
	bool left; /* the client is gone */
	void (*on_end)(struct act *act, const struct api_run_end *end); /* NULL: its client asked for no more than this run */
	void *on_end_arg;
	uint64_t progress_ns;
	struct act_ask *asks; /* who waits for the answer to a request about its faults */
	struct act_waiter *waiters; /* others who wait for its end, or want to hear how it goes */
	bool sealing; /* it is over and being counted, beside us: its course is not ours, its agents are free */
	bool sealed; /* beside us as well */
	struct course_result result;
};

struct serve {
	void *context;
	char directory[PATH_MAX], agents_url[SERVER_ADDRESS_MAX];
	const char *store_url;
	char store_path[PATH_MAX], store_name[STORE_NAME_MAX]; /* the latter: for others */
	int lock, signals;
	struct serve_agent agent; /* our own, if asked for */
	bool private;
	struct allowed allowed;
	struct server *server;
	struct door *api;
	struct outbox *outbox; /* to clients of the API */
	struct serve_remote *remote; /* its clients over TCP; NULL: none */
	struct refusals api_refusals;
	struct store *store;
	struct act *acts;
	struct check *checks;
	struct recall *recalls; /* who wants to know the end of a run that is over */
	struct minimize *minimizes;
	struct repeat *repeats;
	struct subscriber *subscribers;
	struct heirs *heirs;
	struct workers *workers;
	struct catch_up *catch_up; /* NULL: is done */
	struct queries *queries;
	unsigned stopping; /* wishes to end, so far */
	uint64_t signal_ns; /* when the last one was signalled; 0: none was */
	struct refusals told; /* what the log said */
	uint64_t told_ns;
};

/* For door_watch(): a connection of the API ended. */
void serve_client_gone(struct door *door, int fd, void *arg);

/* One line on stderr, with the time. */
void serve_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* serve_strangers.c */
struct refusals serve_refusals(const struct serve *serve); /* at the doors of agents, and at that of controllers over TCP */
void strangers_tell(struct serve *serve, uint64_t now);
void lists_tell(struct serve *serve);

/* serve_catch_up.c: to be freed once there are no workers any more. Also while it goes on: then it looks again. */
void catch_up_begin(struct serve *serve);

/* serve_api.c */
bool api_full(struct serve *serve, const struct door_id *to); /* as outbox_full() */
void api_work(struct serve *serve, uint64_t now); /* a bounded number of requests, and answers that wait */
/* A progress may be left out, the end of a run never is while the client is there. Not 0: it does not get there (outbox_put). */
int api_answer(struct serve *serve, const struct door_id *to, const struct api_answer *answer);
/* The same, encoded: takes bytes. */
int api_put(struct serve *serve, const struct door_id *to, enum api_answer_kind kind, unsigned char *bytes, size_t size);
void api_refuse(struct serve *serve, const struct door_id *to, uint64_t request, int err, const char *text);

/* serve_capabilities.c */
void capabilities_tell(struct serve *serve, const struct door_id *to, uint64_t request);

/*
 * serve_check.c: a request with faults waits for the labels of an earlier run, and goes on to act_open() or acts_inject(). It is taken.
 * experiment: whose labels; NULL: of the file in it.
 */
struct labels;
bool check_wanted(const struct api_request *request);
void check_add(struct serve *serve, const struct door_frame *from, struct api_request *request, const char *experiment);
bool check_cancel(struct serve *serve, const struct door_id *client, uint64_t request); /* false: there is none such */
void checks_client_gone(struct serve *serve, const struct door *door, int fd);
void checks_free(struct serve *serve);

/* serve_faults.c. labels: NULL: there are none to look at. */
int act_plan_make(struct act *act, const struct api_plan *from, const struct labels *labels, struct error *e); /* read, checked, numbered */
void acts_inject_ask(struct serve *serve, const struct door_frame *from, struct api_request *request, uint64_t now); /* takes it */
void act_answered(void *act, uint64_t token, int err, const char *text); /* for the course */
void act_asks_free(struct act *act);
void acts_inject(struct serve *serve, const struct door_id *from, const struct api_request *request, const struct labels *labels,
		 uint64_t now);
void acts_lift(struct serve *serve, const struct door_id *from, const struct api_request *request, uint64_t now);
void acts_faults(struct serve *serve, const struct door_id *from, const struct api_request *request);

struct api_print serve_print(bool known, const struct print *print);
void serve_class(struct api_run_end *end, const struct store_run *row); /* borrowed; row may be NULL */
void serve_prints(struct api_run_end *end, bool known, const struct prints *prints); /* all of them, and whether they count */

/* serve_wait.c: the ends of runs, told to others than who asked for the run. */
void acts_wait(struct serve *serve, const struct door_frame *from, const struct api_request *request);
/* end: also of its end, else only how it goes. -ENOMEM, -EBUSY. */
int act_waiter_add(struct act *act, const struct door_id *client, int fd, uint64_t request, bool end);
void act_waiters_progress(struct act *act, struct api_answer *answer);
void act_waiters_end(struct act *act, struct api_answer *answer);
void act_waiters_free(struct act *act);
bool acts_wait_cancel(struct serve *serve, const struct door_id *client, uint64_t request); /* false: there is none such */
void acts_waiter_gone(struct serve *serve, const struct door *door, int fd);
void recalls_free(struct serve *serve);

/* serve_again.c: runs that do again what a stored one did. */
void replay_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, uint64_t now);
/* A request to do again what that row says; run 0: the last. Freed with api_request_fini(). -ENOENT. */
int again_make(struct serve *serve, uint64_t run, struct api_request *ret_request, struct store_run **ret_row, struct error *e);

/* serve_events.c */
void subscribe(struct serve *serve, const struct door_frame *from, const struct api_request *request);
void subscribers_tell(struct serve *serve, uint64_t run, const char *agent, const struct trace *trace);
void subscribers_run_ended(struct serve *serve, uint64_t run);
bool subscriber_cancel(struct serve *serve, const struct door_id *client, uint64_t request); /* false: there is none such */
void subscribers_client_gone(struct serve *serve, const struct door *door, int fd);
void subscribers_free(struct serve *serve);

/* serve_minimize.c */
void minimize_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, uint64_t now);
bool minimize_cancel(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now);
void minimizes_client_gone(struct serve *serve, const struct door *door, int fd, uint64_t now);
void minimizes_time(struct serve *serve, uint64_t now);
uint64_t minimizes_deadline(const struct serve *serve);
void minimizes_free(struct serve *serve);

/* serve_repeat.c */
void repeat_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, uint64_t now);
bool repeat_cancel(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now);
void repeats_client_gone(struct serve *serve, const struct door *door, int fd, uint64_t now);
void repeats_time(struct serve *serve, uint64_t now);
uint64_t repeats_deadline(const struct serve *serve);
void repeats_free(struct serve *serve);

/* serve_run.c. act_open() answers the request if it fails. */
int act_begin(struct serve *serve, const struct door_frame *from, const struct api_request *request, const struct labels *labels,
	      uint64_t now, struct act **ret_act, struct error *e);
void act_end_by(struct act *act, bool at_once, uint64_t now); /* on somebody's wish; one that is over stays as it is */
void act_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, const struct labels *labels,
	      uint64_t now);
void act_cancel(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now);
void act_cancel_number(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now);
/* For heirs: to the agent with that session, if it is there. */
void acts_acknowledge(void *serve, const unsigned char session[16], uint64_t run, uint64_t number);
void acts_message(struct serve *serve, struct server_agent *agent, const struct message *message, uint64_t now);
void acts_news(struct serve *serve, struct server_agent *agent, enum server_news news);
void acts_client_gone(struct serve *serve, const struct door *door, int fd, uint64_t now);
void acts_time(struct serve *serve, uint64_t now); /* also ends those that are done */
uint64_t acts_deadline(const struct serve *serve);
void acts_stop(struct serve *serve, bool at_once, uint64_t now);
bool acts_full(const struct serve *serve);
void acts_free(struct serve *serve);

#endif
