/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Contents find their sends: by thread and socket, trimmed to what was queued, filtered. No kernel is needed for it. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/redact.h"
#include "proto/event.h"
#include "tfj/content.h"

static struct contents *contents;

static void open_with(uint32_t bytes, char *pattern)
{
	char *patterns[] = { pattern, NULL };
	struct error e = { "" };

	ck_assert_msg(!contents_new(bytes, patterns, &contents, &e), "%s", e.text);
}

static uint16_t number; /* of the last content */

/* A send of `asked` bytes, of which `text` could be read. */
static void put(uint32_t tid, uint64_t cookie, const char *text, uint64_t asked, uint32_t limit)
{
	size_t size = strlen(text);
	struct rec_content *record = calloc(1, sizeof(*record) + size);

	*record = (struct rec_content){ .head = { .tid = tid, .kind = REC_CONTENT }, .cookie = cookie, .asked = asked,
					.size = (uint32_t)size, .limit = (uint16_t)limit, .number = ++number };
	memcpy(record + 1, text, size);
	contents_put(contents, record, sizeof(*record) + size);
	free(record);
}

static struct kept_content *take_of(uint16_t content, uint32_t tid, uint64_t cookie, int64_t result, uint16_t flags)
{
	struct rec_transfer send = { .head = { .tid = tid, .kind = REC_SEND, .flags = flags }, .cookie = cookie,
				     .result = result, .message = 5, .content = content };

	return contents_take(contents, &send);
}

/* The send of the last content. */
static struct kept_content *take(uint32_t tid, uint64_t cookie, int64_t result, uint16_t flags)
{
	return take_of(number, tid, cookie, result, flags);
}

static void expect(struct kept_content *kept, const char *text, uint32_t flags)
{
	ck_assert_ptr_nonnull(kept);
	ck_assert_uint_eq(kept->message, 5);
	ck_assert_msg(kept->size == strlen(text) && !memcmp(kept->bytes, text, kept->size), "'%.*s', not '%s'",
		      (int)kept->size, (char *)kept->bytes, text);
	ck_assert_uint_eq(kept->flags, flags);
	free(kept);
}

/* Each thread has its own, and only the socket that it was for gets it. */
START_TEST(pairs)
{
	open_with(100, NULL);
	put(1, 10, "one", 3, 100);
	put(2, 10, "two", 3, 100);
	expect(take(2, 10, 3, 0), "two", 0);
	expect(take_of((uint16_t)(number - 1), 1, 10, 3, 0), "one", 0);
	expect(take(1, 10, 3, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE); /* nothing came for this one */
	put(1, 10, "lost", 4, 100);
	expect(take(1, 11, 4, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	expect(take(1, 10, 4, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	put(1, 10, "failed", 6, 100);
	put(1, 10, "again", 5, 100);
	expect(take(1, 10, 5, 0), "again", 0);
	contents_free(contents);
}
END_TEST

/* Whichever records are lost: no message gets the content of another one. */
START_TEST(lost_ones)
{
	open_with(100, NULL);
	put(1, 10, "first", 5, 100);
	number++; /* its send was lost, and the next one's content */
	expect(take(1, 10, 5, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	put(1, 10, "second", 6, 100);
	expect(take_of(0, 1, 10, 6, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE); /* it had none */
	expect(take(1, 10, 6, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	put(1, 10, "third", 5, 100);
	put(2, 10, "other", 5, 100);
	contents_end(contents, 1);
	contents_end(contents, 3);
	expect(take_of((uint16_t)(number - 1), 1, 10, 5, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	expect(take(2, 10, 5, 0), "other", 0);
	contents_free(contents);
}
END_TEST

/* Only what was queued counts, and only the beginning of a message. */
START_TEST(trimmed)
{
	open_with(4, NULL);
	put(1, 10, "abcd", 4, 4);
	expect(take(1, 10, 2, 0), "ab", CONTENT_F_CUT);
	put(1, 10, "cd", 2, 4);
	ck_assert_ptr_null(take(1, 10, 2, REC_F_CONTINUED));
	put(1, 10, "abcd", 1000, 4);
	expect(take(1, 10, 1000, 0), "abcd", CONTENT_F_CUT);
	put(1, 10, "ab", 1000, 4);
	expect(take(1, 10, 1000, 0), "ab", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	put(1, 10, "ab", 1000, 4);
	expect(take(1, 10, 2, 0), "ab", CONTENT_F_CUT);
	put(1, 10, "abcdef", 6, 6); /* more than was asked for */
	expect(take(1, 10, 6, 0), "abcd", CONTENT_F_CUT);
	put(1, 10, "abcd", 4, 4);
	ck_assert_ptr_null(take(1, 10, -EPIPE, 0));
	contents_free(contents);
}
END_TEST

/* A secret at the end of what was queued is one, though the pattern would have it longer: the message may go on. */
START_TEST(filtered)
{
	open_with(100, "key=[0-9]{8}");
	put(1, 10, "a key=12345678 b", 16, 100);
	expect(take(1, 10, 16, 0), "a [redacted] b", CONTENT_F_REDACTED);
	put(1, 10, "a key=12345678 b", 16, 100);
	expect(take(1, 10, 10, 0), "a [redacted]", CONTENT_F_CUT | CONTENT_F_REDACTED);
	put(1, 10, "a key=1234", 10, 100);
	expect(take(1, 10, 10, 0), "a key=1234", 0);
	contents_free(contents);
	open_with(100, "(a+)+$");
	put(1, 10, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", 40, 100);
	expect(take(1, 10, 40, 0), REDACT_MARK, CONTENT_F_REDACTED | CONTENT_F_WITHHELD);
	contents_free(contents);
}
END_TEST

/* A record that says it has more bytes than came is no content. */
START_TEST(damaged)
{
	struct rec_content record = { .head = { .tid = 1 }, .cookie = 10, .asked = 5, .size = 5, .limit = 100, .number = 1 };

	open_with(100, NULL);
	put(1, 10, "before", 6, 100);
	contents_put(contents, &record, sizeof(record));
	expect(take(1, 10, 5, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	contents_put(contents, &record, sizeof(record) - 1);
	expect(take(1, 10, 5, 0), "", CONTENT_F_CUT | CONTENT_F_UNREADABLE);
	contents_free(contents);
}
END_TEST

/* What cannot be done is refused with its reason. */
START_TEST(refused)
{
	char *bad[] = { "ok", "a(b", NULL };
	struct error e = { "" };

	ck_assert_int_eq(contents_new(0, NULL, &contents, &e), -EINVAL);
	ck_assert_int_eq(contents_new(CONTENT_MAX + 1, NULL, &contents, &e), -EINVAL);
	ck_assert(strstr(e.text, "1 to 4096"));
	ck_assert_int_eq(contents_new(5, bad, &contents, &e), -EINVAL);
	ck_assert(strstr(e.text, "redact: pattern 'a(b' is no regular expression"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contents");
	TCase *tc = tcase_create("contents");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, pairs);
	tcase_add_test(tc, lost_ones);
	tcase_add_test(tc, trimmed);
	tcase_add_test(tc, filtered);
	tcase_add_test(tc, damaged);
	tcase_add_test(tc, refused);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
