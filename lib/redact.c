/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See redact.h. A backtracking matcher can take for ever: every step of a match is counted by a callout, and when a
 * budget that grows with the bytes is used up, everything is hidden. A pattern that did that several times is not tried
 * again, so that a run with a million messages does not pay for it a million times. Never fails open.
 */
#include "lib/redact.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STEPS_BASE 20000u
#define STEPS_A_BYTE 50u
#define HEAP_KIB 4096u
#define TIRED 8u /* budgets that one pattern may use up */

#define COMPILE_OPTIONS (PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT)

struct pattern {
	pcre2_code *code;
	unsigned exhausted;
};

struct redactor {
	struct pattern patterns[REDACT_MAX_PATTERNS];
	size_t n;
	pcre2_match_data *match;
	pcre2_match_context *context;
	uint32_t steps; /* left of the budget */
	bool hidden[REDACT_MAX_SIZE];
};

static int on_step(pcre2_callout_block *block, void *arg)
{
	struct redactor *redactor = arg;

	if (!redactor->steps)
		return PCRE2_ERROR_CALLOUT;
	redactor->steps--;
	return 0;
}

static int pattern_compile(struct redactor *redactor, const char *text, struct error *e)
{
	PCRE2_UCHAR why[200];
	PCRE2_SIZE at = 0;
	int code = 0;

	if (redactor->n == REDACT_MAX_PATTERNS)
		return error_set(e, -EINVAL, "there are more than %u patterns", REDACT_MAX_PATTERNS);
	if (!*text || strlen(text) > REDACT_MAX_PATTERN)
		return error_set(e, -EINVAL, "pattern %zu has %zu bytes; it must have 1 to %u", redactor->n + 1,
				 strlen(text), REDACT_MAX_PATTERN);
	redactor->patterns[redactor->n].code =
		pcre2_compile((PCRE2_SPTR)text, strlen(text), COMPILE_OPTIONS, &code, &at, NULL);
	if (redactor->patterns[redactor->n].code) {
		redactor->n++;
		return 0;
	}
	if (code == PCRE2_ERROR_HEAP_FAILED)
		return error_set(e, -ENOMEM, "no memory for pattern %zu", redactor->n + 1);
	pcre2_get_error_message(code, why, sizeof(why));
	return error_set(e, -EINVAL, "pattern '%.60s' is no regular expression: %s, at byte %zu of it", text, (char *)why,
			 (size_t)at);
}

int redactor_new(char *const *patterns, struct redactor **ret_redactor, struct error *e)
{
	struct redactor *redactor = calloc(1, sizeof(*redactor));
	int err = 0;

	if (redactor) {
		redactor->match = pcre2_match_data_create(1, NULL);
		redactor->context = pcre2_match_context_create(NULL);
	}
	if (!redactor || !redactor->match || !redactor->context) {
		redactor_free(redactor);
		return error_set(e, -ENOMEM, "no memory for the patterns of a filter");
	}
	pcre2_set_callout(redactor->context, on_step, redactor);
	pcre2_set_heap_limit(redactor->context, HEAP_KIB);
	for (size_t i = 0; !err && patterns && patterns[i]; i++)
		err = pattern_compile(redactor, patterns[i], e);
	if (err)
		redactor_free(redactor);
	else
		*ret_redactor = redactor;
	return err;
}

void redactor_free(struct redactor *redactor)
{
	if (!redactor)
		return;
	for (size_t i = 0; i < redactor->n; i++)
		pcre2_code_free(redactor->patterns[i].code);
	pcre2_match_data_free(redactor->match);
	pcre2_match_context_free(redactor->context);
	free(redactor);
}

/* Marks all that a pattern matches. Returns whether it came to an end within the budget. */
static bool pattern_hide(struct redactor *redactor, const struct pattern *pattern, const unsigned char *bytes,
			 size_t size, bool goes_on)
{
	uint32_t options = PCRE2_NOTEMPTY | (goes_on ? PCRE2_PARTIAL_HARD : 0);
	const PCRE2_SIZE *range = pcre2_get_ovector_pointer(redactor->match);
	size_t at = 0;
	int n;

	while (at < size) {
		n = pcre2_match(pattern->code, bytes, size, at, options, redactor->match, redactor->context);
		if (n == PCRE2_ERROR_NOMATCH)
			break;
		if (n < 0 && n != PCRE2_ERROR_PARTIAL)
			return false;
		if (range[1] > size || range[0] > range[1] || (n != PCRE2_ERROR_PARTIAL && range[1] <= at))
			return false;
		if (n == PCRE2_ERROR_PARTIAL) {
			memset(redactor->hidden + range[0], 1, size - range[0]);
			break;
		}
		memset(redactor->hidden + range[0], 1, range[1] - range[0]);
		at = range[1];
	}
	return true;
}

/* Finds what to hide; says whether all patterns could be tried to their end. */
static bool hide(struct redactor *redactor, const unsigned char *bytes, size_t size, bool goes_on)
{
	memset(redactor->hidden, 0, size);
	for (size_t i = 0; i < redactor->n; i++) {
		struct pattern *pattern = &redactor->patterns[i];

		if (pattern->exhausted >= TIRED)
			return false;
		redactor->steps = STEPS_BASE + STEPS_A_BYTE * (uint32_t)size;
		if (!pattern_hide(redactor, pattern, bytes, size, goes_on)) {
			pattern->exhausted++;
			return false;
		}
	}
	return true;
}

static size_t copy_shown(const struct redactor *redactor, const unsigned char *bytes, size_t size, unsigned char *to)
{
	const size_t mark = sizeof(REDACT_MARK) - 1;
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		if (!redactor->hidden[i]) {
			to[n++] = bytes[i];
		} else if (!i || !redactor->hidden[i - 1]) {
			memcpy(to + n, REDACT_MARK, mark);
			n += mark;
		}
	}
	return n;
}

int redactor_apply(struct redactor *redactor, const unsigned char *bytes, size_t size, bool goes_on,
		   unsigned char **ret_bytes, size_t *ret_size, enum redacted *ret_redacted)
{
	const size_t mark = sizeof(REDACT_MARK) - 1;
	unsigned char *copy;
	bool whole;

	if (size > REDACT_MAX_SIZE)
		return -EINVAL;
	whole = hide(redactor, bytes, size, goes_on);
	if (!whole)
		memset(redactor->hidden, 1, size);
	/* at worst every other byte is a mark */
	copy = malloc((size + 1) / 2 * (mark + 1) + 1);
	if (!copy)
		return -ENOMEM;
	*ret_size = copy_shown(redactor, bytes, size, copy);
	*ret_bytes = copy;
	*ret_redacted = !whole				       ? REDACTED_ALL :
			memchr(redactor->hidden, 1, size)      ? REDACTED_PARTS :
								 REDACTED_NOTHING;
	return 0;
}
