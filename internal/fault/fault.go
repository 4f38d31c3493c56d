// Package fault defines cxgctl's errors: a code, a message for people, a hint and details for scripts. The code
// determines the exit code.
package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// Code is the semantic code of an error, as in the error envelope of the backend's API.
type Code string

// The codes of the command-line interface.
const (
	Internal             Code = "INTERNAL_ERROR"
	Usage                Code = "USAGE_ERROR"
	NotFound             Code = "RESOURCE_NOT_FOUND"
	AlreadyExists        Code = "RESOURCE_ALREADY_EXISTS"
	Conflict             Code = "CONFLICT"
	Validation           Code = "VALIDATION_ERROR"
	Unauthenticated      Code = "AUTHENTICATION_REQUIRED"
	PermissionDenied     Code = "PERMISSION_DENIED"
	Database             Code = "DATABASE_ERROR"
	PartialFailure       Code = "PARTIAL_FAILURE"
	ConfirmationRequired Code = "CONFIRMATION_REQUIRED"
	IO                   Code = "IO_ERROR"
	Busy                 Code = "BUSY"
	Interrupted          Code = "INTERRUPTED"
	Terminated           Code = "TERMINATED"
	HungUp               Code = "HUNG_UP"
)

// Exit is a row of the exit code table: the process's exit code, the codes that lead to it, and its meaning.
type Exit struct {
	Status  int
	Codes   []Code
	Meaning string
}

// Exits lists every exit code of cxgctl in ascending order. Status and `cxgctl help exit-codes` both use it.
var Exits = []Exit{
	{0, nil, "done (an empty list is done)"},
	{1, []Code{Internal}, "a bug"},
	{2, []Code{Usage}, "unknown flag, missing argument or required flag, flags that exclude each other, a single-valued flag given twice"},
	{3, []Code{NotFound}, "a named object does not exist"},
	{4, []Code{AlreadyExists, Conflict}, "already exists, or changed since it was read"},
	{5, []Code{Validation}, "a value is not valid"},
	{6, []Code{Unauthenticated}, "no operator, expired or revoked login"},
	{7, []Code{PermissionDenied}, "the operator may not do this"},
	{8, []Code{Database}, "not configured, unreachable, timed out, locked, schema not understood"},
	{9, []Code{PartialFailure}, "some items of a batch failed and the rest is done; doctor or audit verify found something"},
	{10, []Code{ConfirmationRequired}, "cancelled, or a destructive command without --yes off a terminal"},
	{74, []Code{IO}, "a local file or stream: disk full, permission, missing folder"},
	{75, []Code{Busy}, "another run holds the same lock"},
	{129, []Code{HungUp}, "hung up; everything uncommitted is rolled back"},
	{130, []Code{Interrupted}, "interrupted; everything uncommitted is rolled back"},
	{143, []Code{Terminated}, "terminated; everything uncommitted is rolled back"},
}

// FileCode returns the code of an error about a local file or stream: IO_ERROR if the operating system reports it, else
// VALIDATION_ERROR, as for its content.
func FileCode(err error) Code {
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return IO
	}
	return Validation
}

// Reason returns the text of an error about a file without the path, for messages that name the file.
func Reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// Error is an error for people to read. Messages are lower case and have no full stop.
type Error struct {
	Code    Code
	Message string
	Hint    string         // what to do about it; may be empty
	Detail  map[string]any // for scripts; never a secret
	Cause   error          // for errors.Is and --verbose; its text is never printed otherwise
	Kind    string         // groups errors that differ only in the values they name
}

// New returns an Error; format and args are as in fmt.Sprintf.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Kind: format}
}

// Error returns the message only.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// WithHint returns e with a hint; format and args as in fmt.Sprintf.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// With returns e with one more field of detail.
func (e *Error) With(key string, value any) *Error {
	if e.Detail == nil {
		e.Detail = map[string]any{}
	}
	e.Detail[key] = value
	return e
}

// Because returns e with a cause.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// From returns err as an *Error. Errors of files become IO_ERROR, others INTERNAL_ERROR, with their text; nil returns nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return New(FileCode(err), "%s", err.Error()).Because(err)
	}
	return New(Internal, "%s", err.Error()).Because(err)
}

// Is reports whether err is or wraps an Error with this code.
func Is(err error, code Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// Status returns the exit code for err: 0 for nil, and 1 for errors that are not an *Error.
func Status(err error) int {
	if err == nil {
		return 0
	}
	code := From(err).Code
	for _, x := range Exits {
		if slices.Contains(x.Codes, code) {
			return x.Status
		}
	}
	return 1
}

// Problem is an invalid value.
type Problem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
	kind    string
}

// Problems collects all invalid values of a command, so that they can be fixed at once. The zero value is ready to
// use.
type Problems struct{ list []Problem }

// Add adds a problem with the value of field. The message should quote the value and state the rule.
func (p *Problems) Add(field, format string, args ...any) {
	p.list = append(p.list, Problem{field, fmt.Sprintf(format, args...), format})
}

// Has reports whether field already has a problem.
func (p *Problems) Has(field string) bool {
	return slices.ContainsFunc(p.list, func(x Problem) bool { return x.Field == field })
}

// Choices returns the values in upper case, and adds a problem for each that is not valid.
func (p *Problems) Choices(field string, values, valid []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if out[i] = strings.ToUpper(strings.TrimSpace(v)); !slices.Contains(valid, out[i]) {
			p.Add(field, "%.60q is not one of %s", out[i], strings.Join(valid, ", "))
		}
	}
	return out
}

// Err returns a VALIDATION_ERROR that lists all problems, or nil without any. Its detail contains them as "fields".
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	kinds := make([]string, len(p.list))
	for i, x := range p.list {
		kinds[i] = x.Field + ": " + x.kind
	}
	err := New(Validation, "").With("fields", p.list)
	err.Kind = strings.Join(kinds, "; ")
	err.NameFields(func(field string) string { return field })
	return err
}

// OfField returns the problem of one field, of an error from Problems, as a VALIDATION_ERROR, or nil.
func OfField(err error, field string) error {
	if err == nil {
		return nil
	}
	list, _ := From(err).Detail["fields"].([]Problem)
	for _, x := range list {
		if x.Field == field {
			return New(Validation, "%s", x.Message)
		}
	}
	return nil
}

// NameFields makes the message of an error from Problems call each field by the name that the function returns, once for
// problems in a row. Other errors stay as they are.
func (e *Error) NameFields(name func(field string) string) {
	list, ok := e.Detail["fields"].([]Problem)
	if !ok {
		return
	}
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = x.Message
		if i == 0 || x.Field != list[i-1].Field {
			parts[i] = name(x.Field) + ": " + x.Message
		}
	}
	e.Message = strings.Join(parts, "; ")
}
