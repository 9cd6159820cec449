/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See api_strings.h. Walks a message by its descriptor. Pure. */
#include "proto/api_strings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/utf8.h"

static bool is_clean(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at >= 0x20 && *at < 0x7f)
		at++;
	return !*at;
}

/* mends NULL: the old string is freed. */
static int string_clean(char **slot, struct api_mends *mends)
{
	struct api_mend *grown;
	char *text;

	if (!*slot || is_clean(*slot))
		return 0;
	text = utf8_printable(*slot, strlen(*slot));
	if (!text)
		return -ENOMEM;
	if (!strcmp(text, *slot)) {
		free(text);
		return 0;
	}
	if (!mends) {
		free(*slot); /* it is not empty, so it is not the default */
		*slot = text;
		return 0;
	}
	if (mends->n == mends->cap) {
		grown = realloc(mends->rows, (mends->cap * 2 + 8) * sizeof(*grown));
		if (!grown) {
			free(text);
			return -ENOMEM;
		}
		mends->rows = grown;
		mends->cap = mends->cap * 2 + 8;
	}
	mends->rows[mends->n++] = (struct api_mend){ slot, *slot };
	*slot = text;
	return 0;
}

static int message_clean(ProtobufCMessage *message, struct api_mends *mends);

static int value_clean(const ProtobufCFieldDescriptor *field, void *value, struct api_mends *mends)
{
	ProtobufCMessage *inside;

	if (field->type == PROTOBUF_C_TYPE_STRING)
		return string_clean(value, mends);
	inside = *(ProtobufCMessage **)value;
	return inside ? message_clean(inside, mends) : 0;
}

static int message_clean(ProtobufCMessage *message, struct api_mends *mends)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;
	int err = 0;

	for (unsigned i = 0; i < descriptor->n_fields && !err; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		char *at = (char *)message + field->offset;
		const void *quantifier = (char *)message + field->quantifier_offset;

		if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *(const uint32_t *)quantifier != field->id)
			continue;
		if (field->label != PROTOBUF_C_LABEL_REPEATED) {
			err = value_clean(field, at, mends);
			continue;
		}
		for (size_t k = 0; k < *(const size_t *)quantifier && !err; k++)
			err = value_clean(field, *(void ***)at + k, mends);
	}
	return err;
}

int api_strings_clean(ProtobufCMessage *message)
{
	return message_clean(message, NULL);
}

int api_strings_mend(ProtobufCMessage *message, struct api_mends *mends)
{
	return message_clean(message, mends);
}

void api_strings_unmend(struct api_mends *mends)
{
	while (mends->n) {
		struct api_mend *mend = &mends->rows[--mends->n];

		free(*mend->slot);
		*mend->slot = mend->old;
	}
	free(mends->rows);
	*mends = (struct api_mends){ .n = 0 };
}
