/* Compiled forms of a few pure functions of the served path; `proxy/native.py` says how they are used.

   Those that judge (plain_head, plain_reply, plain_line, plainly_fits, each_once) know only what is plainly right, and answer None
   or False for all else: then the form in Python reads and judges, and says what is wrong. So nothing is refused here, no message
   is made here, and what is taken here must be taken there, with the same result. The others do in full what their forms in Python
   do. Tests hold the two against each other. Nothing is kept between calls, and no argument is changed.
   Only the stable ABI of Python 3.11 is used, so that one build serves that version and all later ones. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef Py_ssize_t size;

/* ------------------------------------------------------------------------------------------------ characters */

enum {
    TOKEN = 1,   /* of a header's name in a request: RFC 9110 token without `_`, which other servers read as `-` */
    HOST = 2,    /* of a Host header */
    TABLE = 4,   /* of a table's name */
    BASE64 = 8,
    DIGIT = 16,
    PASSED = 32, /* of the value of a header that travels on to AWS */
    ITSELF = 64, /* of ASCII, printable, and in a JSON string no other than itself */
};

static uint8_t class_of[256];
static uint8_t lower_of[256];
static int8_t sextet_of[256]; /* of a character of Base64 */

static void mark(const char *characters, uint8_t kind) {
    for (; *characters; characters++)
        class_of[(uint8_t)*characters] |= kind;
}

static void fill_tables(void) {
    const char *const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int byte = 0; byte < 256; byte++) {
        lower_of[byte] = (uint8_t)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
        sextet_of[byte] = 0;
    }
    for (int place = 0; place < 64; place++)
        sextet_of[(uint8_t)base64[place]] = (int8_t)place;
    mark("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", TOKEN | HOST | TABLE | BASE64);
    mark("0123456789", TOKEN | HOST | TABLE | BASE64 | DIGIT);
    mark("!#$%&'*+.^`|~-", TOKEN);
    mark("._:[]-", HOST);
    mark("._-", TABLE);
    mark("+/", BASE64);
    for (int byte = ' '; byte <= '~'; byte++)
        class_of[byte] |= byte == '"' || byte == '\\' ? 0 : ITSELF;
    mark("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789=; ._:+-", PASSED);
}

enum { MANY = 32 }; /* MANY bytes are looked at together: a loop of a fixed length becomes a few instructions */

static int all_of(const uint8_t *text, size length, uint8_t kind) {
    for (size place = 0; place < length; place++)
        if (!(class_of[text[place]] & kind))
            return 0;
    return 1;
}

/* How many bytes from `text` on are neither control characters nor DEL. */
static size printable(const uint8_t *text, size length) {
    size place = 0;
    for (; place + MANY <= length; place += MANY) {
        uint8_t other = 0;
        for (size one = place; one < place + MANY; one++)
            other |= (uint8_t)((text[one] < 0x20) | (text[one] == 0x7f));
        if (other)
            break;
    }
    while (place < length && text[place] >= 0x20 && text[place] != 0x7f)
        place++;
    return place;
}

/* A decimal number without sign or leading zero, of at most 15 digits; -1 for anything else. */
static long long decimal(const uint8_t *text, size length) {
    if (length < 1 || length > 15 || (length > 1 && text[0] == '0') || !all_of(text, length, DIGIT))
        return -1;
    long long number = 0;
    for (size place = 0; place < length; place++)
        number = number * 10 + (text[place] - '0');
    return number;
}

static int same(const uint8_t *text, size length, const char *other) {
    return length == (size)strlen(other) && memcmp(text, other, (size_t)length) == 0;
}

/* --------------------------------------------------------------------------------------------- names of headers */

typedef enum { PLAIN, IS_HOST, IS_TYPE, IS_LENGTH, IS_CONNECTION, LEFT } Role; /* LEFT: Python is to look at it */

typedef struct {
    const char *text;
    Role asked;    /* what the name means in a request */
    Role answered; /* and in an answer of AWS */
} Name;

/* Those that clients and AWS use again and again, and all that frame a message or that Python refuses. */
static const Name names[] = {
    {"te", LEFT, LEFT}, {"host", IS_HOST, PLAIN}, {"date", PLAIN, PLAIN}, {"expect", LEFT, PLAIN}, {"accept", PLAIN, PLAIN},
    {"server", PLAIN, PLAIN}, {"trailer", LEFT, LEFT}, {"upgrade", LEFT, LEFT}, {"x-amz-date", PLAIN, PLAIN},
    {"connection", IS_CONNECTION, IS_CONNECTION}, {"keep-alive", PLAIN, LEFT}, {"user-agent", PLAIN, PLAIN},
    {"x-amz-crc32", PLAIN, PLAIN}, {"x-dag-token", PLAIN, PLAIN}, {"content-type", IS_TYPE, PLAIN}, {"x-amz-target", PLAIN, PLAIN},
    {"authorization", PLAIN, PLAIN}, {"content-length", IS_LENGTH, IS_LENGTH}, {"http2-settings", LEFT, PLAIN},
    {"accept-encoding", PLAIN, PLAIN}, {"amz-sdk-request", PLAIN, PLAIN}, {"smithy-protocol", LEFT, PLAIN},
    {"content-encoding", LEFT, PLAIN}, {"x-airflow-dag-id", PLAIN, PLAIN}, {"x-amzn-requestid", PLAIN, PLAIN},
    {"x-airflow-run-id", PLAIN, PLAIN}, {"transfer-encoding", LEFT, LEFT}, {"x-airflow-task-id", PLAIN, PLAIN}, {"x-airflow-map-index", PLAIN, PLAIN},
    {"x-airflow-try-number", PLAIN, PLAIN}, {"x-amz-security-token", PLAIN, PLAIN}, {"x-amz-content-sha256", PLAIN, PLAIN},
    {"amz-sdk-invocation-id", PLAIN, PLAIN},
};
enum { NAMES = sizeof names / sizeof names[0], LONGEST_NAME = 32 };
static PyObject *made_names[NAMES];
static size lengths[NAMES];
static uint8_t first_of_length[LONGEST_NAME + 1]; /* place of the first name of a length, for they stand in that order */

static int make_names(void) {
    memset(first_of_length, NAMES, sizeof first_of_length);
    for (int place = NAMES - 1; place >= 0; place--) {
        lengths[place] = (size)strlen(names[place].text);
        made_names[place] = PyBytes_FromStringAndSize(names[place].text, lengths[place]);
        if (made_names[place] == NULL)
            return -1;
        first_of_length[lengths[place]] = (uint8_t)place;
    }
    return 0;
}

/* The name in lower case, and what is known of it; a new reference, or NULL with an exception. */
static PyObject *name_of(const uint8_t *spelling, size length, const Name **known) {
    char lower[LONGEST_NAME];
    *known = NULL;
    if (length > LONGEST_NAME) {
        PyObject *made = PyBytes_FromStringAndSize(NULL, length);
        if (made != NULL) {
            uint8_t *text = (uint8_t *)PyBytes_AsString(made);
            for (size place = 0; place < length; place++)
                text[place] = lower_of[spelling[place]];
        }
        return made;
    }
    for (size place = 0; place < length; place++)
        lower[place] = (char)lower_of[spelling[place]];
    for (int place = first_of_length[length]; place < NAMES && lengths[place] == length; place++)
        if (memcmp(names[place].text, lower, (size_t)length) == 0) {
            *known = &names[place];
            return Py_NewRef(made_names[place]);
        }
    return PyBytes_FromStringAndSize(lower, length);
}

/* ------------------------------------------------------------------------------------------------------ heads */

static PyObject *method, *path; /* made once */
static const char REQUEST_LINE[] = "POST / HTTP/1.1\r\n";
static const char JSON_TYPE[] = "application/x-amz-json-1.0";

typedef struct {
    size most_bytes, most_headers, most_of_value;
    long long most_of_body;
} Limits;

typedef struct {
    const uint8_t *name, *value;
    size name_length, value_length, next; /* `next`: where the line behind it begins */
} Line;

/* One line of a head: `name: value`, ended by CRLF, spaces around the value dropped. 0 where it is not plainly that. */
static int read_line(const uint8_t *data, size at, size end, Line *line) {
    const uint8_t *start = data + at, *colon = start;
    while (colon < data + end && (class_of[*colon] & TOKEN))
        colon++;
    if (colon == start || colon == data + end || *colon != ':')
        return 0;
    const uint8_t *value = colon + 1, *stop = value + printable(value, data + end - value);
    if (stop + 1 >= data + end || stop[0] != '\r' || stop[1] != '\n')
        return 0;
    line->next = stop + 2 - data;
    while (value < stop && *value == ' ')
        value++;
    while (stop > value && stop[-1] == ' ')
        stop--;
    line->name = start;
    line->name_length = colon - start;
    line->value = value;
    line->value_length = stop - value;
    return 1;
}

/* Whether a value is what its name asks for; `length` is set by Content-Length. */
static int is_fit(const Line *line, Role role, const Limits *limits, long long *length) {
    switch (role) {
    case IS_HOST:
        return line->value_length >= 1 && line->value_length <= 300 && all_of(line->value, line->value_length, HOST);
    case IS_TYPE:
        return same(line->value, line->value_length, JSON_TYPE) || same(line->value, line->value_length, "application/json");
    case IS_CONNECTION:
        return same(line->value, line->value_length, "keep-alive");
    case IS_LENGTH:
        *length = decimal(line->value, line->value_length);
        return *length >= 0 && *length <= limits->most_of_body;
    case LEFT:
        return 0;
    default:
        return 1;
    }
}

static PyObject *value_of(const Line *line) {
    return PyBytes_FromStringAndSize((const char *)line->value, line->value_length);
}

static int put(PyObject *headers, PyObject *name, const Line *line) {
    PyObject *value = name == NULL ? NULL : value_of(line);
    int failed = value == NULL || PyDict_SetItem(headers, name, value) < 0;
    Py_XDECREF(value);
    return failed ? -1 : 0;
}

/* 1: `headers` holds them all, `*end` and `*length` are set. 0: Python is to look. -1: an exception. */
static int read_fields(const uint8_t *data, size total, const Limits *limits, PyObject *headers, size *end, long long *length) {
    const size line_length = (size)sizeof REQUEST_LINE - 1;
    const size most = total < limits->most_bytes ? total : limits->most_bytes;
    int has_host = 0, has_type = 0, count = 0;
    size at = line_length;
    *length = -1;
    if (most < line_length || memcmp(data, REQUEST_LINE, (size_t)line_length) != 0)
        return 0;
    while (at + 2 <= most && !(data[at] == '\r' && data[at + 1] == '\n')) {
        Line line;
        const Name *known;
        if (++count > limits->most_headers || !read_line(data, at, most, &line) || line.value_length > limits->most_of_value)
            return 0;
        PyObject *name = name_of(line.name, line.name_length, &known);
        int failed = put(headers, name, &line);
        Py_XDECREF(name);
        if (failed)
            return -1;
        if (known != NULL) {
            if (!is_fit(&line, known->asked, limits, length))
                return 0;
            has_host |= known->asked == IS_HOST;
            has_type |= known->asked == IS_TYPE;
        }
        at = line.next;
    }
    if (at + 2 > most || PyDict_Size(headers) != count) /* not whole yet, or a header that came twice */
        return 0;
    *end = at + 2;
    return has_host && has_type && *length >= 0;
}

/* A tuple of a named type, of what Py_BuildValue makes of a format in two pairs of parentheses; NULL where that failed. */
static PyObject *named(PyObject *type, PyObject *parts) {
    newfunc make = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *made = parts == NULL ? NULL : make((PyTypeObject *)type, parts, NULL);
    Py_XDECREF(parts);
    return made;
}

static int is_tuple_type(PyObject *type) {
    return PyType_Check(type) && PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type);
}

/* The same for a head that says line by line what the one before it on its connection said, other values allowed: `before` is
   what `plain_head` gave with that. What is the same to the byte was looked at then. `*headers` is a new reference, or NULL. */
static int read_changes(const uint8_t *data, size total, const Limits *limits, PyObject *before, PyObject **headers, size *end,
                        long long *length) {
    const size most = total < limits->most_bytes ? total : limits->most_bytes;
    char *text;
    size text_length, at = 0, there = 0;
    if (PyBytes_AsStringAndSize(PyTuple_GetItem(before, 0), &text, &text_length) < 0)
        return -1;
    *headers = PyDict_Copy(PyTuple_GetItem(before, 1));
    *length = PyLong_AsLongLong(PyTuple_GetItem(before, 2));
    if (*headers == NULL || PyErr_Occurred())
        return -1;
    while (there < text_length) {
        const char *feed = memchr(text + there, '\n', (size_t)(text_length - there));
        const size line_length = feed == NULL ? text_length - there : feed + 1 - (text + there);
        if (line_length <= most - at && memcmp(data + at, text + there, (size_t)line_length) == 0)
            at += line_length;
        else {
            Line line;
            const Name *known;
            if (!read_line(data, at, most, &line) || line.value_length > limits->most_of_value ||
                line.name_length >= line_length || memcmp(line.name, text + there, (size_t)line.name_length) != 0 ||
                text[there + line.name_length] != ':') /* as in no request line */
                return 0;
            PyObject *name = name_of(line.name, line.name_length, &known);
            int failed = put(*headers, name, &line);
            Py_XDECREF(name);
            if (failed)
                return -1;
            if (known != NULL && !is_fit(&line, known->asked, limits, length))
                return 0;
            at = line.next;
        }
        there += line_length;
    }
    *end = at;
    return 1;
}

enum { LONGEST_KEPT = 8192 }; /* bytes of a head; with a longer one each is read whole */

/* What `read_changes` needs of a head: a new reference. */
static PyObject *kept_of(const char *data, size end, PyObject *headers, long long length) {
    return end > LONGEST_KEPT ? Py_NewRef(Py_None) : Py_BuildValue("y#OL", data, end, headers, length);
}

static int is_kept(PyObject *before) {
    return before == Py_None || (PyTuple_Check(before) && PyTuple_Size(before) == 3 && PyBytes_Check(PyTuple_GetItem(before, 0)) &&
                                 PyDict_Check(PyTuple_GetItem(before, 1)));
}

PyDoc_STRVAR(plain_head_doc,
             "plain_head(data, peer, head, head_bytes, header_count, value_bytes, body_bytes, before)\n--\n\n"
             "`head` (a tuple type) of method, path, headers and `peer`, its length and that of the body, of a request at the\n"
             "beginning of `data` that is plainly one of DynamoDB's, and what to give as `before` with the next one of its connection\n"
             "(with the first: None); else None.");

static PyObject *plain_head(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    if (count != 8 || !is_tuple_type(arguments[2]) || !is_kept(arguments[7]))
        return PyErr_Format(PyExc_TypeError, "plain_head takes 8 arguments, the third a type of tuples, the last its own or None");
    Limits limits = {PyLong_AsSsize_t(arguments[3]), PyLong_AsSsize_t(arguments[4]), PyLong_AsSsize_t(arguments[5]),
                     PyLong_AsLongLong(arguments[6])};
    Py_buffer data;
    if (PyErr_Occurred() || PyObject_GetBuffer(arguments[0], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    size end = 0;
    long long length = 0;
    PyObject *headers = NULL, *before = arguments[7], *result = NULL;
    int found = before == Py_None ? 0 : read_changes(data.buf, data.len, &limits, before, &headers, &end, &length);
    if (found == 0) {
        Py_XDECREF(headers);
        headers = PyDict_New();
        before = NULL;
        found = headers == NULL ? -1 : read_fields(data.buf, data.len, &limits, headers, &end, &length);
    }
    if (found > 0) {
        PyObject *head = named(arguments[2], Py_BuildValue("((OOOO))", method, path, headers, arguments[1]));
        PyObject *kept = before != NULL ? Py_NewRef(before) : kept_of(data.buf, end, headers, length);
        if (head != NULL && kept != NULL)
            result = Py_BuildValue("OnLO", head, end, length, kept);
        Py_XDECREF(head);
        Py_XDECREF(kept);
    } else if (found == 0)
        result = Py_NewRef(Py_None);
    PyBuffer_Release(&data);
    Py_XDECREF(headers);
    return result;
}

PyDoc_STRVAR(same_values_doc,
             "same_values(some, others, names)\n--\n\n"
             "Whether two dictionaries of bytes have the same under each of `names`, or nothing both.");

static PyObject *same_values(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    if (count != 3 || !PyDict_Check(arguments[0]) || !PyDict_Check(arguments[1]) || !PyTuple_Check(arguments[2]))
        return PyErr_Format(PyExc_TypeError, "same_values takes two dictionaries and a tuple");
    for (size place = 0; place < PyTuple_Size(arguments[2]); place++) {
        PyObject *name = PyTuple_GetItem(arguments[2], place);
        PyObject *one = PyDict_GetItemWithError(arguments[0], name), *other = PyDict_GetItemWithError(arguments[1], name);
        if (PyErr_Occurred())
            return NULL;
        int are_same = one == other || (one != NULL && other != NULL ? PyObject_RichCompareBool(one, other, Py_EQ) : 0);
        if (are_same <= 0)
            return are_same < 0 ? NULL : Py_NewRef(Py_False);
    }
    Py_RETURN_TRUE;
}

enum { AROUND_A_LINE = 4, LONGEST_NUMBER_WRITTEN = 20 }; /* `: ` and CRLF; 2^64 - 1 */

/* How many digits were written. By hand, for `snprintf` takes a tenth of a microsecond. */
static size write_digits(char *to, unsigned long long number) {
    char digits[LONGEST_NUMBER_WRITTEN];
    size length = 0;
    do
        digits[length++] = (char)('0' + number % 10);
    while (number /= 10);
    for (size place = 0; place < length; place++)
        to[place] = digits[length - 1 - place];
    return length;
}

/* How many bytes were written. */
static size write_line(char *to, const char *name, size name_length, const char *value, size value_length) {
    memcpy(to, name, (size_t)name_length);
    memcpy(to + name_length, ": ", 2);
    memcpy(to + name_length + 2, value, (size_t)value_length);
    memcpy(to + name_length + 2 + value_length, "\r\n", 2);
    return name_length + value_length + AROUND_A_LINE;
}

PyDoc_STRVAR(passed_lines_doc,
             "passed_lines(headers, names)\n--\n\n"
             "`name: value` and CRLF for each of `names` that stands in `headers` with a value of short plain text.");

enum { MOST_PASSED = 1024, LONGEST_PASSED = 128 };

static PyObject *passed_lines(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    char lines[MOST_PASSED], *name, *text;
    size length = 0, name_length, text_length;
    if (count != 2 || !PyDict_Check(arguments[0]) || !PyTuple_Check(arguments[1]))
        return PyErr_Format(PyExc_TypeError, "passed_lines takes a dictionary and a tuple");
    for (size place = 0; place < PyTuple_Size(arguments[1]); place++) {
        PyObject *key = PyTuple_GetItem(arguments[1], place), *value = PyDict_GetItemWithError(arguments[0], key);
        if (value == NULL && !PyErr_Occurred())
            continue;
        if (value == NULL || PyBytes_AsStringAndSize(key, &name, &name_length) < 0 ||
            PyBytes_AsStringAndSize(value, &text, &text_length) < 0)
            return NULL;
        if (text_length < 1 || text_length > LONGEST_PASSED || !all_of((const uint8_t *)text, text_length, PASSED))
            continue;
        if (name_length + text_length + AROUND_A_LINE > MOST_PASSED - length)
            return PyErr_Format(PyExc_ValueError, "more lines than there is room for");
        length += write_line(lines + length, name, name_length, text, text_length);
    }
    return PyBytes_FromStringAndSize(lines, length);
}

/* ---------------------------------------------------------------------------------------------------- answers */

enum { MOST_OF_ANSWERED_HEAD = 16 * 1024 };

/* The status of a line that AWS begins its answers with; 0 for another. `*at` is where the fields begin. */
static int status_of(const uint8_t *data, size total, size *at) {
    static const struct {
        const char *line;
        int status;
    } usual[] = {{"HTTP/1.1 200 OK\r\n", 200}, {"HTTP/1.1 400 Bad Request\r\n", 400}};
    for (int place = 0; place < 2; place++) {
        size length = (size)strlen(usual[place].line);
        if (total >= length && memcmp(data, usual[place].line, (size_t)length) == 0) {
            *at = length;
            return usual[place].status;
        }
    }
    return 0;
}

/* As `put`, to a list of pairs. */
static int append(PyObject *fields, PyObject *name, const Line *line) {
    PyObject *value = name == NULL ? NULL : value_of(line);
    PyObject *field = value == NULL ? NULL : PyTuple_Pack(2, name, value);
    int failed = field == NULL || PyList_Append(fields, field) < 0;
    Py_XDECREF(value);
    Py_XDECREF(field);
    return failed ? -1 : 0;
}

/* 1: `fields` holds what is passed on, `*at` is where the body begins. 0: Python is to look. -1: an exception. */
static int read_answer(const uint8_t *data, size total, PyObject *fields, size *at) {
    const Limits none = {0, 0, 0, (1LL << 40)};
    const size most = total < MOST_OF_ANSWERED_HEAD ? total : MOST_OF_ANSWERED_HEAD;
    long long length = -1;
    while (*at + 2 <= most && !(data[*at] == '\r' && data[*at + 1] == '\n')) {
        Line line;
        const Name *known;
        if (!read_line(data, *at, most, &line))
            return 0;
        PyObject *name = name_of(line.name, line.name_length, &known);
        Role role = known == NULL ? PLAIN : known->answered;
        int is_left = known == NULL && line.name_length >= 6 && name != NULL && memcmp(PyBytes_AsString(name), "proxy-", 6) == 0;
        int failed = name == NULL || (role == PLAIN && !is_left && append(fields, name, &line) < 0);
        Py_XDECREF(name);
        if (failed)
            return -1;
        if (is_left || (role == IS_LENGTH && length >= 0) || !is_fit(&line, role, &none, &length))
            return 0;
        *at = line.next;
    }
    if (*at + 2 > most)
        return 0;
    *at += 2;
    return length == total - *at;
}

PyDoc_STRVAR(plain_reply_doc,
             "plain_reply(data, reply)\n--\n\n"
             "`reply` (a tuple type) of status, fields and body, where `data` (bytes) is one whole usual answer; else None.");

static PyObject *plain_reply(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    char *data;
    size total, at;
    if (count != 2 || !is_tuple_type(arguments[1]))
        return PyErr_Format(PyExc_TypeError, "plain_reply takes bytes and a type of tuples");
    if (PyBytes_AsStringAndSize(arguments[0], &data, &total) < 0)
        return NULL;
    int status = status_of((const uint8_t *)data, total, &at);
    if (status == 0)
        Py_RETURN_NONE;
    PyObject *fields = PyList_New(0);
    int found = fields == NULL ? -1 : read_answer((const uint8_t *)data, total, fields, &at);
    PyObject *result = found == 0 ? Py_NewRef(Py_None) : NULL;
    if (found > 0) {
        PyObject *pairs = PyList_AsTuple(fields);
        result = pairs == NULL ? NULL : named(arguments[1], Py_BuildValue("((iNy#))", status, pairs, data + at, total - at));
    }
    Py_XDECREF(fields);
    return result;
}

PyDoc_STRVAR(value_in_doc,
             "value_in(headers, name)\n--\n\n"
             "The value of the first pair of `headers` that has this name; empty bytes where none has.");

static PyObject *value_in(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    if (count != 2 || !PyTuple_Check(arguments[0]))
        return PyErr_Format(PyExc_TypeError, "value_in takes a tuple and a name");
    for (size place = 0; place < PyTuple_Size(arguments[0]); place++) {
        PyObject *pair = PyTuple_GetItem(arguments[0], place), *name = PyTuple_GetItem(pair, 0);
        int is_it = name == NULL ? -1 : PyObject_RichCompareBool(name, arguments[1], Py_EQ);
        if (is_it < 0)
            return NULL;
        if (is_it)
            return Py_XNewRef(PyTuple_GetItem(pair, 1));
    }
    return PyBytes_FromStringAndSize("", 0);
}

PyDoc_STRVAR(joined_answer_doc,
             "joined_answer(beginning, headers, left_out, end, body)\n--\n\n"
             "The bytes of one answer: `beginning`, the length of `body`, the pairs of `headers` whose names are not in `left_out`,\n"
             "`end`, `body`.");

/* Go over the pairs: count their bytes, and write them where `to` is not NULL. -1: an exception. */
static size write_fields(PyObject *headers, PyObject *left_out, char *to) {
    size written = 0;
    for (size place = 0; place < PyTuple_Size(headers); place++) {
        PyObject *pair = PyTuple_GetItem(headers, place);
        PyObject *name = pair == NULL ? NULL : PyTuple_GetItem(pair, 0), *value = name == NULL ? NULL : PyTuple_GetItem(pair, 1);
        char *name_text, *value_text;
        size name_length, value_length;
        if (value == NULL || PyBytes_AsStringAndSize(name, &name_text, &name_length) < 0 ||
            PyBytes_AsStringAndSize(value, &value_text, &value_length) < 0)
            return -1;
        int is_left_out = PySet_Contains(left_out, name);
        if (is_left_out < 0)
            return -1;
        if (is_left_out)
            continue;
        if (to != NULL)
            write_line(to + written, name_text, name_length, value_text, value_length);
        written += name_length + value_length + AROUND_A_LINE;
    }
    return written;
}

static PyObject *joined_answer(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    char *beginning, *end, *body;
    size beginning_length, end_length, body_length;
    if (count != 5 || !PyTuple_Check(arguments[1]))
        return PyErr_Format(PyExc_TypeError, "joined_answer takes 5 arguments, the second a tuple");
    if (PyBytes_AsStringAndSize(arguments[0], &beginning, &beginning_length) < 0 ||
        PyBytes_AsStringAndSize(arguments[3], &end, &end_length) < 0 || PyBytes_AsStringAndSize(arguments[4], &body, &body_length) < 0)
        return NULL;
    size fields = write_fields(arguments[1], arguments[2], NULL);
    if (fields < 0)
        return NULL;
    static const char LENGTH[] = "content-length: ";
    char framing[sizeof LENGTH + LONGEST_NUMBER_WRITTEN + 2];
    memcpy(framing, LENGTH, sizeof LENGTH - 1);
    size framing_length = (size)sizeof LENGTH - 1;
    framing_length += write_digits(framing + framing_length, (unsigned long long)body_length);
    memcpy(framing + framing_length, "\r\n", 2);
    framing_length += 2;
    PyObject *answer = PyBytes_FromStringAndSize(NULL, beginning_length + framing_length + fields + end_length + body_length);
    if (answer == NULL)
        return NULL;
    char *to = PyBytes_AsString(answer);
    memcpy(to, beginning, (size_t)beginning_length);
    memcpy(to + beginning_length, framing, (size_t)framing_length);
    to += beginning_length + framing_length;
    write_fields(arguments[1], arguments[2], to);
    memcpy(to + fields, end, (size_t)end_length);
    memcpy(to + fields + end_length, body, (size_t)body_length);
    return answer;
}

/* ------------------------------------------------------------------------------------------------------ records */

PyDoc_STRVAR(plain_line_doc,
             "plain_line(pieces, values, rest, longest)\n--\n\n"
             "Each of `pieces` and behind it its one of `values` as JSON (plain text, whole numbers, thousandths), then `rest`. None\n"
             "where a value is other than that, a token may hide in one, or the line has more than `longest` bytes.");

enum { MOST_OF_A_LINE = 2048, LONGEST_OF_NUMBERS = 32 };

/* How many bytes a text takes between quotation marks; -1: it is not plain, there is no room, or it has `eyJ` in it. */
static size write_text(char *to, size room, PyObject *value) {
    size length;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (text == NULL)
        PyErr_Clear(); /* a lone surrogate */
    if (text == NULL || length + 2 > room)
        return -1;
    *to++ = '"';
    for (size place = 0; place < length; place++) {
        uint8_t byte = (uint8_t)text[place];
        if (!(class_of[byte] & ITSELF) || (byte == 'J' && place > 1 && text[place - 1] == 'y' && text[place - 2] == 'e'))
            return -1;
        to[place] = (char)byte;
    }
    to[length] = '"';
    return length + 2;
}

/* The same of a number that is made of so many thousandths, as `repr` writes it. */
static size write_thousandths(char *to, double value) {
    if (!(value >= 0 && value < 1e12) || signbit(value)) /* -0.0 is not below 0 */
        return -1;
    long long thousandths = (long long)(value * 1000 + 0.5);
    if ((double)thousandths / 1000 != value)
        return -1;
    size length = write_digits(to, (unsigned long long)thousandths / 1000), places = 3;
    to[length] = '.';
    for (long long left = thousandths % 1000; places > 0; places--, left /= 10)
        to[length + places] = (char)('0' + left % 10);
    length += 1 + 3;
    while (to[length - 1] == '0' && to[length - 2] != '.')
        length--;
    return length;
}

static size write_value(char *to, size room, PyObject *value) {
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type)
        return write_text(to, room, value);
    if (room < LONGEST_OF_NUMBERS)
        return -1;
    if (type == &PyFloat_Type)
        return write_thousandths(to, PyFloat_AsDouble(value));
    if (type != &PyLong_Type)
        return -1;
    int is_beyond;
    long long number = PyLong_AsLongLongAndOverflow(value, &is_beyond);
    if (is_beyond)
        return -1;
    *to = '-';
    return number < 0 ? 1 + write_digits(to + 1, 0 - (unsigned long long)number) : write_digits(to, (unsigned long long)number);
}

static PyObject *plain_line(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    char line[MOST_OF_A_LINE], *piece, *rest;
    size length = 0, piece_length, rest_length;
    if (count != 4 || !PyTuple_Check(arguments[0]) || !PyTuple_Check(arguments[1]) ||
        PyTuple_Size(arguments[0]) != PyTuple_Size(arguments[1]))
        return PyErr_Format(PyExc_TypeError, "plain_line takes two tuples of one length, bytes and a number");
    size longest = PyLong_AsSsize_t(arguments[3]);
    if (PyErr_Occurred() || PyBytes_AsStringAndSize(arguments[2], &rest, &rest_length) < 0)
        return NULL;
    if (longest < rest_length)
        Py_RETURN_NONE;
    size room = (longest < MOST_OF_A_LINE ? longest : MOST_OF_A_LINE) - rest_length;
    for (size place = 0; place < PyTuple_Size(arguments[0]); place++) {
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(arguments[0], place), &piece, &piece_length) < 0)
            return NULL;
        if (piece_length > room - length)
            Py_RETURN_NONE;
        memcpy(line + length, piece, (size_t)piece_length);
        length += piece_length;
        size written = write_value(line + length, room - length, PyTuple_GetItem(arguments[1], place));
        if (written < 0)
            Py_RETURN_NONE;
        length += written;
    }
    if (length > room)
        Py_RETURN_NONE;
    PyObject *whole = PyBytes_FromStringAndSize(NULL, length + rest_length);
    if (whole != NULL) {
        char *to = PyBytes_AsString(whole);
        memcpy(to, line, (size_t)length);
        memcpy(to + length, rest, (size_t)rest_length);
    }
    return whole;
}

/* ----------------------------------------------------------------------------------------------- AttributeValues */

enum { LONGEST_NUMBER = 64, LONGEST_BINARY = 1 << 20 }; /* longer texts are judged in Python, in a way whose time is bounded */

/* The text of a short string of ASCII, or NULL, never with an exception. */
static const uint8_t *ascii_of(PyObject *text, size longest, size *length) {
    if (Py_TYPE(text) != &PyUnicode_Type || PyUnicode_GetLength(text) > longest)
        return NULL;
    size characters = PyUnicode_GetLength(text);
    const char *bytes = PyUnicode_AsUTF8AndSize(text, length);
    if (bytes == NULL)
        PyErr_Clear(); /* a lone surrogate */
    return bytes != NULL && *length == characters ? (const uint8_t *)bytes : NULL;
}

static size digits(const uint8_t *text, size at, size length) {
    size start = at;
    while (at < length && (class_of[text[at]] & DIGIT))
        at++;
    return at - start;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point. */
static int is_number(PyObject *content) {
    size length, at = 0;
    const uint8_t *text = ascii_of(content, LONGEST_NUMBER, &length);
    if (text == NULL)
        return 0;
    at += length > 0 && (text[0] == '+' || text[0] == '-');
    size whole = digits(text, at, length), fraction = 0;
    at += whole;
    if (at < length && text[at] == '.') {
        fraction = digits(text, at + 1, length);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return 0;
    if (at < length && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        at += at < length && (text[at] == '+' || text[at] == '-');
        size exponent = digits(text, at, length);
        if (exponent == 0)
            return 0;
        at += exponent;
    }
    return at == length;
}

/* Canonical Base64 with padding (RFC 4648, 3.5): the bits that the last character leaves over are zero. */
static int is_binary(PyObject *content) {
    size length;
    const uint8_t *text = ascii_of(content, LONGEST_BINARY, &length);
    if (text == NULL || length % 4 != 0)
        return 0;
    if (length == 0)
        return 1;
    size padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
    if (!all_of(text, length - padding, BASE64))
        return 0;
    uint8_t last = (uint8_t)sextet_of[text[length - padding - 1]];
    return padding == 0 || (last & (padding == 1 ? 0x03 : 0x0f)) == 0;
}

static int is_string(PyObject *content) {
    return Py_TYPE(content) == &PyUnicode_Type;
}

static int is_set(PyObject *content, int (*is_member)(PyObject *)) {
    if (Py_TYPE(content) != &PyList_Type)
        return 0;
    for (size place = 0; place < PyList_Size(content); place++)
        if (!is_member(PyList_GetItem(content, place)))
            return 0;
    return 1;
}

static int are_attributes(PyObject *values, int room);
static int are_listed(PyObject *values, int room);

/* One AttributeValue: an object of exactly one known type with content of that type. */
static int is_value(PyObject *value, int room) {
    PyObject *key, *content;
    size place = 0, length;
    if (Py_TYPE(value) != &PyDict_Type || PyDict_Size(value) != 1 || !PyDict_Next(value, &place, &key, &content))
        return 0;
    const uint8_t *kind = ascii_of(key, 4, &length);
    if (kind == NULL || length == 0)
        return 0;
    if (length == 1)
        switch (kind[0]) {
        case 'S':
            return is_string(content);
        case 'N':
            return is_number(content);
        case 'B':
            return is_binary(content);
        case 'M':
            return room > 0 && are_attributes(content, room - 1);
        case 'L':
            return room > 0 && are_listed(content, room - 1);
        default:
            return 0;
        }
    if (length == 2 && kind[1] == 'S')
        switch (kind[0]) {
        case 'S':
            return is_set(content, is_string);
        case 'N':
            return is_set(content, is_number);
        case 'B':
            return is_set(content, is_binary);
        default:
            return 0;
        }
    return length == 4 && (memcmp(kind, "BOOL", 4) == 0 || memcmp(kind, "NULL", 4) == 0) &&
           (content == Py_True || content == Py_False);
}

static int are_attributes(PyObject *values, int room) {
    PyObject *name, *value;
    size place = 0;
    if (Py_TYPE(values) != &PyDict_Type)
        return 0;
    while (PyDict_Next(values, &place, &name, &value))
        if (!is_value(value, room))
            return 0;
    return 1;
}

static int are_listed(PyObject *values, int room) {
    if (Py_TYPE(values) != &PyList_Type)
        return 0;
    for (size place = 0; place < PyList_Size(values); place++)
        if (!is_value(PyList_GetItem(values, place), room))
            return 0;
    return 1;
}

/* ------------------------------------------------------------------------------------------------------ shapes */

enum { MAX_NESTING = 32 };

/* What a plan begins with: `proxy.dynamodb.shapes` makes them, tuples of one of these and what belongs to it. */
enum { TEXT, NAME, CHOICE, FLAG, WHOLE, VALUE, ATTRIBUTES, LIST, MAP, BY_TABLE, STRUCTURE };

static int fits(PyObject *plan, PyObject *value);

static long long number_in(PyObject *plan, size place) {
    return PyLong_AsLongLong(PyTuple_GetItem(plan, place));
}

static int is_within(PyObject *plan, long long number) {
    return number_in(plan, 1) <= number && number <= number_in(plan, 2);
}

static int is_name(PyObject *value) {
    size length;
    const uint8_t *text = ascii_of(value, 255, &length);
    return text != NULL && length >= 3 && all_of(text, length, TABLE);
}

static int is_whole(PyObject *plan, PyObject *value) {
    int is_beyond;
    if (Py_TYPE(value) != &PyLong_Type)
        return 0;
    long long number = PyLong_AsLongLongAndOverflow(value, &is_beyond);
    return !is_beyond && is_within(plan, number);
}

static int is_one_of(PyObject *words, PyObject *value) {
    return words != NULL && PySet_Contains(words, value) == 1;
}

/* (MAP, member), (BY_TABLE, 1, most, member) */
static int is_map(PyObject *plan, PyObject *value, int by_table) {
    PyObject *name, *member;
    size place = 0;
    if (Py_TYPE(value) != &PyDict_Type || (by_table && !is_within(plan, PyDict_Size(value))))
        return 0;
    PyObject *wanted = PyTuple_GetItem(plan, by_table ? 3 : 1);
    while (PyDict_Next(value, &place, &name, &member))
        if ((by_table && !is_name(name)) || !fits(wanted, member))
            return 0;
    return 1;
}

/* (LIST, fewest, most, member) */
static int is_list(PyObject *plan, PyObject *value) {
    if (Py_TYPE(value) != &PyList_Type || !is_within(plan, PyList_Size(value)))
        return 0;
    PyObject *wanted = PyTuple_GetItem(plan, 3);
    for (size place = 0; place < PyList_Size(value); place++)
        if (!fits(wanted, PyList_GetItem(value, place)))
            return 0;
    return 1;
}

/* (STRUCTURE, {name: plan}, required names, whether exactly one) */
static int is_structure(PyObject *plan, PyObject *value) {
    PyObject *name, *member;
    size place = 0;
    if (Py_TYPE(value) != &PyDict_Type)
        return 0;
    PyObject *members = PyTuple_GetItem(plan, 1), *required = PyTuple_GetItem(plan, 2);
    if (members == NULL || required == NULL || !PyDict_Check(members))
        return 0;
    while (PyDict_Next(value, &place, &name, &member)) {
        PyObject *wanted = PyDict_GetItemWithError(members, name);
        if (wanted == NULL || !fits(wanted, member))
            return 0;
    }
    for (place = 0; place < PyTuple_Size(required); place++)
        if (PyDict_GetItemWithError(value, PyTuple_GetItem(required, place)) == NULL)
            return 0;
    return PyTuple_GetItem(plan, 3) == Py_False || PyDict_Size(value) == 1;
}

/* Plans nest no deeper than the members of the API do, values no deeper than MAX_NESTING. */
static int fits(PyObject *plan, PyObject *value) {
    if (plan == NULL || !PyTuple_Check(plan))
        return 0;
    switch (number_in(plan, 0)) {
    case TEXT:
        return Py_TYPE(value) == &PyUnicode_Type && is_within(plan, PyUnicode_GetLength(value));
    case NAME:
        return is_name(value);
    case CHOICE:
        return Py_TYPE(value) == &PyUnicode_Type && is_one_of(PyTuple_GetItem(plan, 1), value);
    case FLAG:
        return value == Py_True || value == Py_False;
    case WHOLE:
        return is_whole(plan, value);
    case VALUE:
        return is_value(value, MAX_NESTING);
    case ATTRIBUTES:
        return are_attributes(value, MAX_NESTING);
    case LIST:
        return is_list(plan, value);
    case MAP:
        return is_map(plan, value, 0);
    case BY_TABLE:
        return is_map(plan, value, 1);
    case STRUCTURE:
        return is_structure(plan, value);
    default:
        return 0;
    }
}

PyDoc_STRVAR(plainly_fits_doc,
             "plainly_fits(plan, value)\n--\n\n"
             "True if a parsed JSON value is plainly of the shape that `plan` describes. Raises what a wrong plan brings about.");

static PyObject *plainly_fits(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "plainly_fits takes a plan and a value");
    int found = fits(arguments[0], arguments[1]);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(found);
}

PyDoc_STRVAR(each_once_doc,
             "each_once(text, value)\n--\n\n"
             "True if `text` (bytes), which was parsed to `value`, plainly names each member of an object once: it has as many colons\n"
             "outside of strings as `value` has members, for the parser drops all but one of a name.");

enum { DEEPEST_COUNTED = 64 };

/* Colons outside of the strings of a valid JSON text. A quotation mark ends a string unless an odd number of backslashes is before
   it; each run of these is looked at once. */
static size colons(const char *text, size length) {
    size found = 0, at = 0;
    while (at < length) {
        char byte = text[at++];
        found += byte == ':';
        int is_inside = byte == '"';
        for (size beginning = at; is_inside;) {
            const char *quote = memchr(text + at, '"', (size_t)(length - at));
            if (quote == NULL)
                return -1;
            size place = quote - text, escape = place;
            while (escape > beginning && text[escape - 1] == '\\')
                escape--;
            is_inside = (place - escape) % 2 != 0;
            at = place + 1;
        }
    }
    return found;
}

/* Members of all objects in a value, added to `*total`; 0: it is nested too deep. */
static int count_members(PyObject *value, int room, size *total) {
    size at = 0;
    PyObject *key, *member;
    if (PyDict_CheckExact(value)) {
        *total += PyDict_Size(value);
        while (PyDict_Next(value, &at, &key, &member))
            if (room == 0 || !count_members(member, room - 1, total))
                return 0;
    } else if (PyList_CheckExact(value)) {
        while (at < PyList_Size(value))
            if (room == 0 || !count_members(PyList_GetItem(value, at++), room - 1, total))
                return 0;
    }
    return 1;
}

static PyObject *each_once(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    char *text;
    size length, total = 0;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "each_once takes bytes and what they were parsed to");
    if (PyBytes_AsStringAndSize(arguments[0], &text, &length) < 0)
        return NULL;
    return PyBool_FromLong(count_members(arguments[1], DEEPEST_COUNTED, &total) && total == colons(text, length));
}

/* ------------------------------------------------------------------------------------------------------ module */

static PyMethodDef functions[] = {
    {"plain_head", (PyCFunction)(void (*)(void))plain_head, METH_FASTCALL, plain_head_doc},
    {"plain_reply", (PyCFunction)(void (*)(void))plain_reply, METH_FASTCALL, plain_reply_doc},
    {"joined_answer", (PyCFunction)(void (*)(void))joined_answer, METH_FASTCALL, joined_answer_doc},
    {"passed_lines", (PyCFunction)(void (*)(void))passed_lines, METH_FASTCALL, passed_lines_doc},
    {"value_in", (PyCFunction)(void (*)(void))value_in, METH_FASTCALL, value_in_doc},
    {"plain_line", (PyCFunction)(void (*)(void))plain_line, METH_FASTCALL, plain_line_doc},
    {"same_values", (PyCFunction)(void (*)(void))same_values, METH_FASTCALL, same_values_doc},
    {"each_once", (PyCFunction)(void (*)(void))each_once, METH_FASTCALL, each_once_doc},
    {"plainly_fits", (PyCFunction)(void (*)(void))plainly_fits, METH_FASTCALL, plainly_fits_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", "Compiled forms of pure functions.", -1, functions,
                                        NULL, NULL, NULL, NULL};

/* With DDB_PROXY_PURE in the environment the module is not there, whichever way a process began: workers are spawned. */
PyMODINIT_FUNC PyInit__native(void) {
    const char *pure = getenv("DDB_PROXY_PURE");
    if (pure != NULL && *pure != '\0') {
        PyErr_SetString(PyExc_ImportError, "left out, for DDB_PROXY_PURE is set");
        return NULL;
    }
    fill_tables();
    method = PyBytes_FromString("POST");
    path = PyBytes_FromString("/");
    return method == NULL || path == NULL || make_names() < 0 ? NULL : PyModule_Create(&definition);
}
