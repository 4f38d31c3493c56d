package sessions

import (
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Filter selects rows; the zero value selects all. Some fields apply only to some tables.
type Filter struct {
	User     uuid.UUID
	Username string   // of login attempts, even for users that do not exist
	Statuses []string // ACTIVE, EXPIRED, REVOKED, INACTIVE
	Success  *bool
	Address  string // an address or a network: 192.0.2.0/24
	Since    time.Time
	Until    time.Time
	Live     bool // only rows that are valid now
}

func (f Filter) where(p *fault.Problems, valid []string) db.Where {
	var w db.Where
	if f.User != uuid.Nil {
		w.Bind("x.user_id = @user", "user", f.User)
	}
	if f.Username != "" {
		w.Bind("x.username = @username", "username", f.Username)
	}
	w.AnyOf(derived, "statuses", "text", p.Choices("status", f.Statuses, valid))
	if f.Success != nil {
		w.Bind("x.success = @success", "success", *f.Success)
	}
	if f.Address != "" {
		_, aerr := netip.ParseAddr(f.Address)
		_, nerr := netip.ParsePrefix(f.Address)
		if aerr != nil && nerr != nil {
			p.Add("address", "%.60q is not an IP address or network", f.Address)
		}
		w.Bind("x.ip_address <<= @address::text::inet", "address", f.Address)
	}
	w.Between("x.created_at", f.Since, f.Until)
	if f.Live {
		w.Add("x.status = 'ACTIVE' AND (x.expires_at IS NULL OR x.expires_at > now())")
	}
	return w
}

var newestFirst = db.Order{
	{Sort: db.Sort{Expr: "x.created_at", NotNull: true}, Desc: true},
	{Sort: db.Sort{Expr: "x.id", NotNull: true}, Desc: true},
}

// derived is the status of a session or a key in lists. The row of an expired one may be ACTIVE until it is used or
// swept.
const derived = "CASE WHEN x.status = 'ACTIVE' AND x.expires_at <= now() THEN 'EXPIRED' ELSE x.status END"

const (
	listRows  = `SELECT {columns} FROM {table} x LEFT JOIN idam.users u ON u.id = x.user_id WHERE {where} ORDER BY {order}`
	countRows = `SELECT count(*) FROM {table} x WHERE {where}`
)

// Matching returns the query for the rows that the filter selects, newest first.
func (t Table[T]) Matching(f Filter) db.ListQuery[T] {
	var problems fault.Problems
	where := f.where(&problems, t.Statuses)
	where.Add(t.live)
	return db.ListQuery[T]{
		Problems: problems,
		SQL:      listRows, Count: countRows, Columns: strings.Replace(t.columns, "x.status,", derived+" AS status,", 1), Table: t.Table,
		Where: where, Order: newestFirst,
	}
}
