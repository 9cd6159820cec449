/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands that ask a server for what takes time: a run, as often as wanted. Shows how it goes; Ctrl-C ends it. */
#ifndef COLLECTOR_REMOTE_H
#define COLLECTOR_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/course.h"
#include "proto/api.h"

struct remote;

/* url: "" for the usual one. path: a file to run, which is read here, and sent; what is wrong in it the server says. NULL: none. */
int remote_open(const char *url, const char *path, struct remote **ret_remote, struct error *e);
void remote_close(struct remote *remote);

/* The file, for requests about it: borrowed until remote_close(). */
void remote_file(const struct remote *remote, char **ret_name, char **ret_path, ProtobufCBinaryData *ret_text);

/*
 * Runs it once. plan: its lines are sent, and checked by the server. send: live or deferred, NULL: as the file says. keep: course_keep. ret->run has its
 * row and nothing else; free with course_result_fini(). An error: there is no run, or the server is gone.
 */
int remote_run(struct remote *remote, const struct plan *plan, unsigned keep, const char *send, struct course_result *ret,
	       struct error *e);

/* The same, for what a stored run did; 0: the last one. */
int remote_replay(struct remote *remote, uint64_t run, unsigned keep, struct course_result *ret, struct error *e);

/*
 * Asks anything that is answered by Progress and one answer of that kind, to be freed with api_answer_fini(). Sets the request's id.
 * An Error becomes an errno, with the server's text.
 */
int remote_ask(struct remote *remote, struct api_request *request, enum api_answer_kind wanted, struct api_answer *ret_answer,
	       struct error *e);

/* Where the server keeps the last run; NULL: it did not say. What remote_run() gave out of prints lives as long. */
const char *remote_store(const struct remote *remote);

bool remote_interrupted(const struct remote *remote);

#endif
