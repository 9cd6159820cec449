/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Strings of protobuf messages, all of them, wherever they stand in it: made UTF-8 without control characters. What
 * leaves must be that (other languages refuse a string that is not), and what came is shown on terminals. Fields of
 * bytes are left alone.
 */
#ifndef PROTO_API_STRINGS_H
#define PROTO_API_STRINGS_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/* A string that was replaced for a while. */
struct api_mend {
	char **slot, *old;
};

struct api_mends {
	struct api_mend *rows;
	size_t n, cap;
};

/* In a message whose strings are malloc'ed. 0 or -ENOMEM; the message can be freed in any case. */
int api_strings_clean(ProtobufCMessage *message);

/* In one that borrows its strings: until api_strings_unmend(), which is called in any case. 0 or -ENOMEM. */
int api_strings_mend(ProtobufCMessage *message, struct api_mends *mends);
void api_strings_unmend(struct api_mends *mends);

#endif
