/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See otlp_send.h. The one includer of libcurl, which is loaded when it is needed: with all that it needs itself, it would
 * make every start of bop twice as long.
 */
#include "collector/otlp_send.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "lib/utf8.h"

enum { WORDS_MAX = 300 /* bytes of an answer that are shown */, BACKOFF_MS = 250 };

/* X(name behind curl_) */
#define FUNCTIONS(X) X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_perform) X(easy_getinfo) X(easy_strerror) \
	X(slist_append) X(slist_free_all)

#undef curl_easy_setopt /* checks of types, which are not those of pointers to them */
#undef curl_easy_getinfo

struct library {
#define X(name) __typeof__(curl_##name) *name;
	FUNCTIONS(X)
#undef X
};

/* It stays for as long as the program does. */
static int library_open(struct library *ret, struct error *e)
{
	void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL), *function;

	if (!handle)
		return error_set(e, -ENOENT, "--otlp needs libcurl (Debian: apt install libcurl4): %s", dlerror());
#define X(name)                                                                                                      \
	function = dlsym(handle, "curl_" #name);                                                                     \
	if (!function)                                                                                               \
		return error_set(e, -ENOENT, "--otlp: this libcurl has no curl_" #name);                             \
	memcpy(&ret->name, &function, sizeof(ret->name));
	FUNCTIONS(X)
#undef X
	return 0;
}

struct exchange {
	struct library lib;
	CURL *curl;
	const char *url, *shown;
	char *answer;
	size_t size;
	bool too_large;
	long status; /* of HTTP; 0: no answer came */
	CURLcode code;
};

static size_t on_answer(char *bytes, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	char *grown;

	if (x->size + size * n > OTLP_ANSWER_MAX) {
		x->too_large = true;
		return 0;
	}
	grown = realloc(x->answer, x->size + size * n + 1);
	if (!grown)
		return 0;
	memcpy(grown + x->size, bytes, size * n);
	x->answer = grown;
	x->size += size * n;
	x->answer[x->size] = '\0';
	return size * n;
}

static int options_set(struct exchange *x, struct curl_slist *headers, unsigned timeout_s, struct error *e)
{
	__typeof__(curl_easy_setopt) *set = x->lib.easy_setopt;
	CURL *c = x->curl;

	if (set(c, CURLOPT_URL, x->url) || set(c, CURLOPT_HTTPHEADER, headers) ||
	    set(c, CURLOPT_PROTOCOLS_STR, "http,https") ||
	    set(c, CURLOPT_NOSIGNAL, 1L) || set(c, CURLOPT_POST, 1L) ||
	    set(c, CURLOPT_USERAGENT, "bop/" BOP_VERSION) ||
	    set(c, CURLOPT_TIMEOUT, (long)timeout_s) ||
	    set(c, CURLOPT_CONNECTTIMEOUT, (long)timeout_s) ||
	    set(c, CURLOPT_WRITEFUNCTION, on_answer) || set(c, CURLOPT_WRITEDATA, x))
		return error_set(e, -ENOMEM, "out of memory");
	return 0;
}

/* What the collector says went wrong: a Status in JSON, or whatever stands there. malloc'ed, or NULL. */
static char *answer_words(const struct exchange *x)
{
	json_t *json = x->size ? json_loadb(x->answer, x->size, 0, NULL) : NULL;
	const char *message = json_string_value(json_object_get(json, "message"));
	char *words;

	if (!message)
		message = x->size ? x->answer : "";
	words = utf8_printable(message, strnlen(message, WORDS_MAX));
	json_decref(json);
	return words;
}

/* One try. What came of it is in x. */
static void try(struct exchange *x, const char *line, size_t size)
{
	free(x->answer);
	x->answer = NULL;
	x->size = 0;
	x->status = 0;
	x->code = x->lib.easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	if (!x->code)
		x->code = x->lib.easy_setopt(x->curl, CURLOPT_POSTFIELDS, line);
	if (!x->code)
		x->code = x->lib.easy_perform(x->curl);
	if (!x->code)
		x->lib.easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->status);
}

/* The table of the specification; and where no answer came at all. */
static bool may_retry(const struct exchange *x)
{
	if (x->code)
		return x->code == CURLE_COULDNT_CONNECT || x->code == CURLE_GOT_NOTHING || x->code == CURLE_RECV_ERROR ||
		       x->code == CURLE_SEND_ERROR || x->code == CURLE_OPERATION_TIMEDOUT || x->code == CURLE_PARTIAL_FILE;
	return x->status == 429 || x->status == 502 || x->status == 503 || x->status == 504;
}

static int no_answer(const struct exchange *x, struct error *e)
{
	int err = -EIO;

	if (x->too_large)
		return error_set(e, -EBADMSG, "%s: answered with more than %u bytes: is that a collector?", x->shown,
				 OTLP_ANSWER_MAX);
	if (x->code == CURLE_URL_MALFORMAT || x->code == CURLE_UNSUPPORTED_PROTOCOL)
		return error_set(e, -EINVAL, "--otlp %s: that is no URL of a collector (http://HOST:4318/v1/traces)", x->shown);
	if (x->code == CURLE_COULDNT_CONNECT || x->code == CURLE_COULDNT_RESOLVE_HOST)
		err = -ECONNREFUSED;
	if (x->code == CURLE_OPERATION_TIMEDOUT)
		err = -ETIMEDOUT;
	return error_set(e, err, "%s: %s", x->shown, x->lib.easy_strerror(x->code));
}

static int refused(const struct exchange *x, struct error *e)
{
	char *words = answer_words(x);
	int err = may_retry(x) ? -EBUSY : -EREMOTEIO;

	error_set(e, err, "%s: the collector answered %ld%s%s%s", x->shown, x->status, words && *words ? ": " : "",
		  words ? words : "", x->status == 404 ? " (the path is usually /v1/traces)" : "");
	free(words);
	return err;
}

/* What it says of a request that it took. */
static int taken(const struct exchange *x, struct otlp_sent *sent, struct error *e)
{
	json_t *json = x->size ? json_loadb(x->answer, x->size, 0, NULL) : json_object();
	const json_t *partial = json_object_get(json, "partialSuccess"), *rejected = json_object_get(partial, "rejectedSpans");
	const char *message = json_string_value(json_object_get(partial, "errorMessage"));
	bool is_answer = json_is_object(json);

	if (json_is_string(rejected))
		sent->rejected += strtoull(json_string_value(rejected), NULL, 10);
	else if (json_integer_value(rejected) > 0)
		sent->rejected += (uint64_t)json_integer_value(rejected);
	if (message && *message && !sent->message)
		sent->message = utf8_printable(message, strnlen(message, WORDS_MAX));
	json_decref(json);
	return is_answer ? 0 :
			   error_set(e, -EBADMSG, "%s: answered 200, but not as a collector does: is that one?", x->shown);
}

/* Milliseconds before the next try; negative: it asks for too long. */
static int64_t wait_of(const struct exchange *x, unsigned tried)
{
	curl_off_t asked = 0;
	uint16_t chance = 0;

	if (!x->code)
		x->lib.easy_getinfo(x->curl, CURLINFO_RETRY_AFTER, &asked);
	if (asked > (curl_off_t)OTLP_WAIT_MAX_S)
		return -1;
	if (asked > 0)
		return (int64_t)asked * 1000;
	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
		chance = 0;
	return (BACKOFF_MS << (tried - 1)) + chance % BACKOFF_MS;
}

static void wait_ms(int64_t ms)
{
	struct timespec rest = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
}

static int line_send(struct exchange *x, const char *line, size_t size, struct otlp_sent *sent, struct error *e)
{
	for (unsigned tried = 1;; tried++) {
		int64_t wait;

		try(x, line, size);
		if (!x->code && x->status == 200)
			return taken(x, sent, e);
		wait = may_retry(x) && tried < OTLP_TRIES ? wait_of(x, tried) : -1;
		if (wait < 0)
			return x->code ? no_answer(x, e) : refused(x, e);
		wait_ms(wait);
	}
}

static uint64_t spans_count(const char *line, size_t size)
{
	json_t *json = json_loadb(line, size, 0, NULL), *spans = NULL;
	uint64_t n;

	json_unpack(json, "{s:[{s:[{s:o}]}]}", "resourceSpans", "scopeSpans", "spans", &spans);
	n = json_array_size(spans);
	json_decref(json);
	return n;
}

/* n bytes become at most three stars; what follows moves up. */
static void hide(char *secret, size_t n)
{
	size_t stars = n < 3 ? n : 3, rest = strlen(secret + n);

	memset(secret, '*', stars);
	memmove(secret + stars, secret + n, rest);
	explicit_bzero(secret + stars + rest, n - stars);
}

char *otlp_url_take(char *url)
{
	char *copy = strdup(url), *scheme = strstr(url, "://"), *begin = scheme ? scheme + 3 : url, *at, *path, *query;

	if (!copy)
		return NULL;
	at = strrchr(begin, '@'); /* all before it may be of the password */
	path = strchr(begin, '/');
	query = strchr(begin, '?');
	if (at && path && query && path < query && query < at) /* or it is in a key, and so is what is behind it */
		hide(begin, strlen(begin));
	else if (at)
		hide(begin, (size_t)(at - begin));
	query = strchr(begin, '?');
	if (query)
		hide(query + 1, strlen(query + 1));
	return copy;
}

int otlp_send(const char *url, const char *shown, FILE *lines, unsigned timeout_s, struct otlp_sent *ret_sent, struct error *e)
{
	struct exchange x = { .url = url, .shown = shown };
	struct curl_slist *headers = NULL;
	struct error why = { "" };
	size_t cap = 0;
	char *line = NULL;
	ssize_t size;
	int err;

	*ret_sent = (struct otlp_sent){ .spans = 0 };
	err = library_open(&x.lib, e);
	if (err)
		return err;
	x.curl = x.lib.easy_init();
	headers = x.lib.slist_append(NULL, "Content-Type: application/json");
	err = x.curl && headers ? options_set(&x, headers, timeout_s, &why) : error_set(&why, -ENOMEM, "out of memory");
	while (!err && (size = getline(&line, &cap, lines)) > 0) {
		err = line_send(&x, line, (size_t)size, ret_sent, &why);
		if (!err)
			ret_sent->spans += spans_count(line, (size_t)size);
	}
	if (err && ret_sent->spans)
		error_set(e, err, "%s (it had taken %" PRIu64 " spans before)", why.text, ret_sent->spans);
	else if (err)
		error_set(e, err, "%s", why.text);
	else if (ferror(lines))
		err = error_set(e, -EIO, "what is to be sent cannot be read back from $TMPDIR");
	free(line);
	free(x.answer);
	x.lib.easy_cleanup(x.curl);
	x.lib.slist_free_all(headers);
	return err;
}
