package db

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// The SQLSTATEs with a meaning of their own here (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	uniqueViolation      = "23505"
	checkViolation       = "23514"
	foreignKeyViolation  = "23503"
	notNullViolation     = "23502"
	stringTooLong        = "22001"
	invalidText          = "22021"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	LockNotAvailable     = "55P03"
	QueryCanceled        = "57014"
	untranslatable       = "22P05"
	internalError        = "XX000"
	undefinedTable       = "42P01"
	undefinedColumn      = "42703"
	undefinedObject      = "42704"
	invalidSchema        = "3F000"
	InsufficientRights   = "42501"
	ReadOnlyTransaction  = "25006"
	featureNotSupported  = "0A000"
	diskFull             = "53100"
	invalidPassword      = "28P01"
	invalidAuthorization = "28000"
	invalidCatalog       = "3D000"
)

// UniqueViolation returns the name of the violated unique constraint or index, or "".
func UniqueViolation(err error) string {
	if pe, ok := serverError(err); ok && pe.Code == uniqueViolation {
		return pe.ConstraintName
	}
	return ""
}

// OfRow reports whether the server refused a row because of its values, so that the transaction can continue without
// it.
func OfRow(err error) bool {
	pe, ok := serverError(err)
	return ok && (strings.HasPrefix(pe.Code, "22") || strings.HasPrefix(pe.Code, "23") || strings.HasPrefix(pe.Code, "P0"))
}

// MayBeOfRow reports whether an error for which OfRow is false can still be about a single row: a trigger can raise
// any code. Errors about the connection, the server's resources, a lock or the whole transaction cannot.
func MayBeOfRow(err error) bool {
	pe, ok := serverError(err)
	return ok && pe.Code != LockNotAvailable && !slices.Contains([]string{"08", "25", "40", "53", "57", "58"}, pe.Code[:min(2, len(pe.Code))])
}

// Retryable reports whether the whole transaction should be run again.
func Retryable(err error) bool {
	pe, ok := serverError(err)
	return ok && (pe.Code == serializationFailure || pe.Code == deadlockDetected)
}

// ReadOnly reports whether a server refused a change because it is a standby.
func ReadOnly(err error) bool {
	pe, ok := serverError(err)
	return ok && pe.Code == ReadOnlyTransaction
}

// Lost reports whether the connection broke, which leaves the outcome of a COMMIT unknown. Any error that is not an
// answer from the server counts.
func Lost(err error) bool {
	if err == nil {
		return false
	}
	pe, ok := serverError(err)
	// 57P01 to 57P03 and class 08 are answers too, but from a server that is shutting down.
	return !ok || strings.HasPrefix(pe.Code, "57P") || strings.HasPrefix(pe.Code, "08")
}

// IsTransient reports whether the same work may succeed later: the server was unreachable, out of resources, shutting
// down, or another session was in the way.
func IsTransient(err error) bool {
	if state, _ := State(err); state != "" {
		switch state[:2] {
		case "08", "53", "58":
			return true
		}
		return slices.Contains([]string{"40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "25006"}, state)
	}
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[*net.OpError](err)
	return unconnected || network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

// Translate turns a database error into a fault.Error with a message and a code. It returns faults and nil unchanged.
func Translate(err error) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if pe, ok := serverError(err); ok {
		return translatePg(pe).Because(err)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Database, "the database did not answer in time").
			WithHint("raise --timeout, or check the server with: cxgctl doctor").Because(err)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Interrupted, "interrupted").Because(err)
	}
	if ce, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return connectFault(Options{}, ce)
	}
	// Not net.Error: a bare errno satisfies that too, and a full disk is not a lost connection.
	if ne, ok := errors.AsType[*net.OpError](err); ok {
		at := ""
		if ne.Addr != nil {
			at = " at " + ne.Addr.String()
		}
		return fault.New(fault.Database, "lost the connection to the database%s: %s", at, reason(ne)).Because(err)
	}
	if se, ok := errors.AsType[pgx.ScanArgError](err); ok {
		return fault.New(fault.Database, "the database sent a value in the column %s that cannot be read: %s", se.FieldName, se.Err).
			WithHint("compare the column's type with: cxgctl doctor; a trigger may also have changed the session's settings").Because(err)
	}
	if strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "unexpected EOF") {
		return fault.New(fault.Database, "lost the connection to the database").Because(err)
	}
	return fault.From(err)
}

func translatePg(pe *pgconn.PgError) *fault.Error {
	table := cmp.Or(pe.TableName, "the table") // Citus does not name it
	if pe.SchemaName != "" {
		table = pe.SchemaName + "." + pe.TableName
	}
	switch pe.Code {
	case uniqueViolation:
		return fault.New(fault.AlreadyExists, "a value in %s already exists (%s)", table, pe.ConstraintName).
			With("constraint", pe.ConstraintName)
	case checkViolation:
		return fault.New(fault.Validation, "the database refuses a value in %s (check %s)", table, pe.ConstraintName).
			With("constraint", pe.ConstraintName)
	case foreignKeyViolation:
		return fault.New(fault.Conflict, "a row that %s references does not exist or is still referenced (%s)", table, pe.ConstraintName).
			With("constraint", pe.ConstraintName)
	case notNullViolation:
		return fault.New(fault.Validation, "%s.%s requires a value", table, pe.ColumnName).
			With("column", pe.ColumnName)
	case stringTooLong:
		return fault.New(fault.Validation, "a value is too long for its column: %s", pe.Message)
	case untranslatable:
		return untranslated(pe)
	case invalidText:
		if pe.TableName != "" {
			return fault.New(fault.Database, "%s holds text that is not UTF-8", pe.TableName)
		}
		return fault.New(fault.Validation, "a value is not valid text: %s", pe.Message)
	case serializationFailure, deadlockDetected:
		return fault.New(fault.Conflict, "other sessions kept changing the same rows").
			WithHint("nothing was changed; run the command again")
	case LockNotAvailable:
		return fault.New(fault.Database, "timed out waiting for a lock that another session holds").
			WithHint("nothing was changed; find the blocking session with pg_blocking_pids(), or raise --timeout")
	case QueryCanceled:
		return fault.New(fault.Database, "timed out: the server cancelled the statement").
			WithHint("nothing was changed; raise --timeout if the database is slow")
	case undefinedTable, invalidSchema, undefinedColumn:
		return fault.New(fault.Database, "the database's schema is not what cxgctl expects: %s", pe.Message).
			WithHint("find out what is missing with: cxgctl doctor")
	case InsufficientRights:
		if pe.Routine == checkRowSecurity {
			return hidden(pe)
		}
		return fault.New(fault.Database, "the database role lacks a privilege: %s", pe.Message).
			WithHint("grant it to the role in the connection string, or use another role")
	case ReadOnlyTransaction:
		return readOnlyServer(pe)
	case diskFull:
		return fault.New(fault.Database, "the database server's disk is full: %s", pe.Message)
	}
	return fault.New(fault.Database, "the database reports: %s (SQLSTATE %s)", pe.Message, pe.Code)
}

// checkRowSecurity is the server function that refuses a statement whose rows a policy would filter. Unlike the
// message, its name does not depend on the server's language.
const checkRowSecurity = "check_enable_rls"

// role is the database role of a session. As a tracer it completes the errors of statements.
type role string

func roleOf(cfg *pgx.ConnConfig) role { return role(cmp.Or(cfg.RuntimeParams["role"], cfg.User)) }

type (
	queryKey   struct{}
	prepareKey struct{}
)

// TraceQueryStart implements pgx.QueryTracer.
func (r role) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, queryKey{}, data)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (r role) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if asked, ok := ctx.Value(queryKey{}).(pgx.TraceQueryStartData); ok && data.Err != nil {
		r.complete(data.Err, asked.SQL, asked.Args...)
	}
}

// TraceBatchStart implements pgx.BatchTracer.
func (r role) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (r role) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	r.complete(data.Err, data.SQL, data.Args...)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (r role) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TracePrepareStart implements pgx.PrepareTracer. CopyFrom prepares a statement to learn the column types.
func (r role) TracePrepareStart(ctx context.Context, _ *pgx.Conn, data pgx.TracePrepareStartData) context.Context {
	return context.WithValue(ctx, prepareKey{}, data.SQL)
}

// TracePrepareEnd implements pgx.PrepareTracer.
func (r role) TracePrepareEnd(ctx context.Context, _ *pgx.Conn, data pgx.TracePrepareEndData) {
	if sql, ok := ctx.Value(prepareKey{}).(string); ok && data.Err != nil {
		r.complete(data.Err, strings.ReplaceAll(sql, `"`, ""))
	}
}

// complete adds to an error what the server omits: for a statement refused by row security, the table, as named in the
// statement, and the role; for stored text that cannot be converted, the table.
func (r role) complete(err error, sql string, args ...any) {
	pe, ok := serverError(err)
	if !ok {
		return
	}
	if pe.Code == untranslatable || pe.Code == invalidText && sendable(fmt.Sprint(args...)) {
		if m := regexp.MustCompile(`(?i)\b(?:FROM|INTO|UPDATE|COPY)\s+(\w+\.\w+)`).FindStringSubmatch(sql); m != nil {
			pe.TableName = m[1]
		}
	}
	if pe.Routine != checkRowSecurity {
		return
	}
	pe.Detail = string(r)
	_, rest, _ := strings.Cut(pe.Message, `"`)
	pe.TableName, _, _ = strings.Cut(rest, `"`)
	if m := regexp.MustCompile(`(\w+)\.` + regexp.QuoteMeta(pe.TableName) + `\b`).FindStringSubmatch(sql); m != nil {
		pe.SchemaName = m[1]
	}
}

// sendable reports whether a server in any encoding accepts the text.
func sendable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

var untranslatedText = regexp.MustCompile(`((?:0x[0-9a-f]{2} ?)+)[^"]*"(\w+)"[^"]*"(\w+)"`)

// untranslated returns the fault for a character that exists in only one of the database's encoding and UTF8. It does
// not depend on the language of the server's message.
func untranslated(pe *pgconn.PgError) *fault.Error {
	m := untranslatedText.FindStringSubmatch(pe.Message)
	if m == nil {
		return fault.New(fault.Database, "the database reports: %s (SQLSTATE %s)", pe.Message, pe.Code)
	}
	if m[2] != "UTF8" {
		return fault.New(fault.Database, "%s holds text in the database's encoding %s that cannot be converted to UTF-8", cmp.Or(pe.TableName, "a table"), m[2])
	}
	character, _ := hex.DecodeString(strings.NewReplacer("0x", "", " ", "").Replace(m[1]))
	return fault.New(fault.Validation, "the database's encoding %s has no character %q", m[3], string(character)).
		With("character", string(character)).With("encoding", m[3])
}

// hidden returns the fault for a statement refused by row security.
func hidden(pe *pgconn.PgError) *fault.Error {
	if pe.Detail == "" {
		return fault.New(fault.Database, "row security hides rows from the database role: %s", pe.Message)
	}
	table := strings.TrimPrefix(pe.SchemaName+"."+pe.TableName, ".")
	return fault.New(fault.Database, "row security hides rows of %s from role %s", table, pe.Detail).
		WithHint("ALTER ROLE %s BYPASSRLS lets it see them all; with row_security: true in the profile, lists and exports show what is left",
			pgx.Identifier{pe.Detail}.Sanitize()).With("table", table).With("role", pe.Detail)
}

// MayNotChange extends an error about row security for commands that change rows. Such commands always fail if a
// policy filters the rows they read or write, whatever the profile allows. Other errors are returned unchanged.
func MayNotChange(err error) error {
	pe, ok := serverError(err)
	if !ok || pe.Routine != checkRowSecurity {
		return err
	}
	f := *hidden(pe)
	f.Message += ": the database role may not change this row"
	if pe.Detail == "" {
		return &f
	}
	return f.WithHint("ALTER ROLE %s BYPASSRLS lets it see and change all rows", pgx.Identifier{pe.Detail}.Sanitize()).Because(err)
}

// connectFault explains a failed connection: which database, where it is and which setting names it, but never the
// connection string.
func connectFault(o Options, err error) *fault.Error {
	which := "the database"
	if o.Name != "" {
		which = "the " + o.Name + " database"
	}
	if errors.Is(err, context.Canceled) {
		return fault.New(fault.Interrupted, "interrupted").Because(err)
	}
	about := []string{}
	hosts, database := addresses(o, err)
	if hosts != "" {
		about = append(about, hosts+", database "+database)
	}
	if o.From != "" {
		about = append(about, o.From)
	}
	message := "cannot connect to " + which + ": " + reason(err)
	if len(about) > 0 {
		message += " (" + strings.Join(about, "; ") + ")"
	}
	f := fault.New(fault.Database, "%s", message).Because(err)
	if hosts != "" {
		f.With("hosts", hosts).With("database", database)
	}
	switch {
	case errors.Is(err, errCleartext), errors.Is(err, errMD5):
		way := map[bool]string{true: "md5", false: "password"}[errors.Is(err, errMD5)]
		return f.WithHint("use TLS (sslmode=verify-full in the connection string) or SCRAM on the server; require_auth=%s in the connection string sends the password anyway", way)
	}
	pe, ok := serverError(err)
	switch {
	case ok && (pe.Code == invalidPassword || pe.Code == invalidAuthorization):
		return f.WithHint("check the user in the connection string and the password in password_file")
	case ok && pe.Code == invalidCatalog, ok && pe.Code == protocolViolation && strings.HasSuffix(pe.Message, "does not exist"): // from a pooler
		return f.WithHint("create the database, or correct the connection string")
	case ok:
		return f
	case errors.Is(err, errStandby):
		return f.WithHint("add the primary to the connection string, or promote the standby")
	case errors.Is(err, errPrimary):
		return f.WithHint("target_session_attrs in the connection string asks for a standby")
	}
	return f.WithHint("is the server up, and are host and port correct? Check the connection with: cxgctl doctor")
}

// addresses returns host:port of every server, and the database.
func addresses(o Options, err error) (hosts, database string) {
	var cfg *pgconn.Config
	if ce, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		cfg = ce.Config
	} else if parsed, failed := Config(o); failed == nil && o.URL != "" {
		cfg = &parsed.Config
	}
	if cfg == nil {
		return "", ""
	}
	list := []string{hostPort(cfg.Host, cfg.Port)}
	for _, f := range cfg.Fallbacks {
		if at := hostPort(f.Host, f.Port); !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return strings.Join(list, ", "), cmp.Or(cfg.Database, cfg.User)
}

func hostPort(host string, port uint16) string { return host + ":" + strconv.Itoa(int(port)) }

// reason returns the innermost cause of a connection failure. The outer layers only repeat parts of the connection
// string.
func reason(err error) string {
	if pe, ok := serverError(err); ok {
		if pe.Code == undefinedObject { // the name may be part of a password that contains a space
			return "the server does not know a parameter of the connection string"
		}
		return pe.Message
	}
	for _, asked := range []error{errCleartext, errMD5} {
		if errors.Is(err, asked) {
			return asked.Error()
		}
	}
	if errors.Is(err, errStandby) {
		return errStandby.Error() // whatever happened with the other servers
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	if de, ok := errors.AsType[*net.DNSError](err); ok {
		return "unknown host " + de.Name
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			many, ok := err.(interface{ Unwrap() []error })
			if !ok || len(many.Unwrap()) == 0 {
				return err.Error()
			}
			inner = many.Unwrap()[len(many.Unwrap())-1]
		}
		err = inner
	}
}

// State returns the SQLSTATE and the constraint behind err, for --verbose. Both are empty if err is not a server
// error.
func State(err error) (state, constraint string) {
	if pe, ok := serverError(err); ok {
		return pe.Code, pe.ConstraintName
	}
	return "", ""
}
