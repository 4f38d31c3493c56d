package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// The cost of seals is measured on the ledger in this process, because starting a process per change would hide it.
const (
	sealClients = 16
	sealTurn    = time.Second // duration of each turn, with and without seals
	sealRounds  = 3
	sealBatch   = 5000   // rows of a bulk change
	sealLog     = 200000 // sealed rows for audit verify
)

// sealing is a manager database with and without seals.
type sealing struct {
	d              *db.DB
	sealed, plain  schema.Catalog
	users          []uuid.UUID
	with, without  []float64
	bulkW, bulkWo  []float64
	by             audit.Operator
	tool, dsn, dir string
}

// measureSeals prints changes per second with and without seals, in turns, followed by the rates of bulk changes and
// of verify, and the disk space of a seal.
func measureSeals(ctx context.Context, w io.Writer, tool, dsn, dir string) error {
	s := &sealing{tool: tool, dsn: dsn, dir: dir}
	var err error
	if s.d, err = db.Open(ctx, db.Options{Name: "manager", URL: dsn}); err != nil {
		return err
	}
	defer s.d.Close()
	if s.sealed, err = schema.Read(ctx, s.d, schema.Users, schema.AuditLogs, schema.SealHead, schema.Seals); err != nil {
		return err
	}
	s.plain = schema.Catalog{schema.Users: s.sealed[schema.Users], schema.AuditLogs: s.sealed[schema.AuditLogs]}
	rows, err := s.d.Query(ctx, "SELECT id FROM idam.users ORDER BY username LIMIT 200")
	if err != nil {
		return err
	}
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return err
		}
		s.users = append(s.users, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	s.by = audit.Operator{ID: s.users[0], Name: "admin", AuthMethod: "claim", Claimed: "admin"}
	for range sealRounds {
		for _, turn := range []struct {
			cat          schema.Catalog
			single, bulk *[]float64
		}{{s.plain, &s.without, &s.bulkWo}, {s.sealed, &s.with, &s.bulkW}} {
			rate, err := s.singles(ctx, turn.cat)
			if err != nil {
				return err
			}
			*turn.single = append(*turn.single, rate)
			if rate, err = s.bulk(ctx, turn.cat); err != nil {
				return err
			}
			*turn.bulk = append(*turn.bulk, rate)
		}
	}
	with, without := median(s.with), median(s.without)
	_, _ = fmt.Fprintf(w, "\nseals, %d clients\tchanges a second without\t%.0f\t\t1.00\t\n", sealClients, without)
	_, _ = fmt.Fprintf(w, "\twith seals\t%.0f\t\t%.2f\t≥ 0.5\n", with, with/without)
	with, without = median(s.bulkW), median(s.bulkWo)
	_, _ = fmt.Fprintf(w, "seals, audit rows of %d a batch\trows a second without\t%.0f\t\t1.00\t\n", sealBatch, without)
	_, _ = fmt.Fprintf(w, "\twith seals\t%.0f\t\t%.2f\t\n", with, with/without)
	return s.verify(ctx, w)
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// open returns the ledger of one client.
func (s *sealing) open(ctx context.Context, d *db.DB, cat schema.Catalog) (*audit.Ledger, error) {
	return audit.Open(ctx, d, cat, s.by, audit.Origin{OSUser: "bench", Host: "bench", PID: os.Getpid(), Version: "bench", Command: "users update"})
}

// singles makes every client change a row of its own repeatedly, and returns the changes per second.
func (s *sealing) singles(ctx context.Context, cat schema.Catalog) (float64, error) {
	var n atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, sealClients)
	ready := make(chan struct{})
	var opened sync.WaitGroup
	opened.Add(sealClients)
	end := time.Time{}
	for i := range sealClients {
		wg.Go(func() {
			d, err := db.Open(ctx, db.Options{Name: "manager", URL: s.dsn})
			if err != nil {
				opened.Done()
				failed <- err
				return
			}
			defer d.Close()
			l, err := s.open(ctx, d, cat)
			opened.Done()
			<-ready
			for j := 0; err == nil && time.Now().Before(end); j++ {
				if err = change(ctx, l, s.users[1+i], j); err == nil {
					n.Add(1)
				}
			}
			if err != nil {
				failed <- err
			}
		})
	}
	opened.Wait()
	end = time.Now().Add(sealTurn)
	close(ready)
	wg.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
	}
	return float64(n.Load()) / sealTurn.Seconds(), nil
}

func change(ctx context.Context, l *audit.Ledger, id uuid.UUID, n int) error {
	subject := audit.Subject{Resource: "user", ID: id, Name: "bench"}
	return l.Write(ctx, audit.Intent{Subject: subject, Action: audit.Update}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		phone := fmt.Sprint(n)
		if _, err := tx.Exec(ctx, "UPDATE idam.users SET phone = $2, updated_at = $3 WHERE id = $1", id, phone, tx.Now); err != nil {
			return nil, err
		}
		return []audit.Change{{
			Subject: subject, Action: audit.Update,
			Before: map[string]any{"phone": "x", "updated_at": nil, "updated_by": nil}, After: map[string]any{"phone": phone, "updated_at": tx.Now, "updated_by": id},
		}}, nil
	})
}

// bulk writes one batch of audit rows, each of a user's entire record, and returns the rows per second.
func (s *sealing) bulk(ctx context.Context, cat schema.Catalog) (float64, error) {
	l, err := s.open(ctx, s.d, cat)
	if err != nil {
		return 0, err
	}
	changes := make([]audit.Change, sealBatch)
	for i := range changes {
		id := uuid.Must(uuid.NewV7())
		name := fmt.Sprintf("bulk%d", i)
		changes[i] = audit.Change{
			Subject: audit.Subject{Resource: "user", ID: id, Name: name}, Action: audit.Create,
			After: map[string]any{
				"id": id, "username": name, "full_name": "Bulk", "email": name + "@example.com", "phone": nil, "user_type": "TENANT",
				"status": "ACTIVE", "mfa_enabled": false, "sso_provider": nil, "email_verified": false, "phone_verified": false,
				"last_login_at": nil, "last_login_ip": nil, "failed_login_attempts": 0, "locked_until": nil, "password_changed_at": nil,
				"force_password_change": false, "timezone": "UTC", "locale": "ko-KR", "department": nil, "position": nil, "is_active": true,
				"created_at": time.Now(), "updated_at": nil, "created_by": s.by.ID, "updated_by": nil,
			},
		}
	}
	began := time.Now()
	err = l.Record(ctx, changes)
	return sealBatch / time.Since(began).Seconds(), err
}

// honest deletes the rows written without seals, which verify would report as forged.
const honest = `DELETE FROM audt.audit_logs l WHERE NOT EXISTS (SELECT FROM cxg_audit.seal s WHERE s.audit_id = l.id)`

// backendRows inserts rows like those of other software.
const backendRows = `
INSERT INTO audt.audit_logs (id, created_at, event_type, event_category, description, source_ip, user_agent, resource, resource_id,
       action_performed, result, risk_level, extra_data, status, deleted)
SELECT gen_random_uuid(), now() - interval '1 day' + i * interval '1 ms', 'API_CALL', 'DATA_MODIFICATION', 'PUT /api/v1/users', '10.0.0.7',
       'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36', 'USER_ACCOUNT', gen_random_uuid()::text, 'UPDATE', 'SUCCESS', 'LOW',
       jsonb_build_object('method', 'PUT', 'path', '/api/v1/users', 'status', 200, 'request_id', gen_random_uuid()), 'ACTIVE', false
  FROM generate_series(1, $1::int) i`

// verify fills the log and runs the command on it.
func (s *sealing) verify(ctx context.Context, w io.Writer) error {
	var n int64
	for {
		if err := s.d.QueryRow(ctx, "SELECT count(*) FROM cxg_audit.seal").Scan(&n); err != nil {
			return err
		}
		if n >= sealLog {
			break
		}
		if _, err := s.bulk(ctx, s.sealed); err != nil {
			return err
		}
	}
	var size float64
	if err := s.d.QueryRow(ctx, "SELECT pg_total_relation_size('cxg_audit.seal')::float8 / count(*) FROM cxg_audit.seal").Scan(&size); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "a seal, with its indexes\tbytes\t%.0f\t\t\t≤ 600\n", size)
	if err := s.change(ctx, honest); err != nil {
		return err
	}
	if err := s.walk(ctx, w, fmt.Sprintf("audit verify, %d rows of cxgctl's", n), 1, n); err != nil {
		return err
	}
	if err := s.change(ctx, backendRows, sealLog); err != nil {
		return err
	}
	if _, err := s.run(ctx, "audit", "seal"); err != nil {
		return err
	}
	return s.walk(ctx, w, fmt.Sprintf("audit verify, %d rows of the backend's", sealLog), n+1, sealLog)
}

// change runs a statement and updates the statistics of the log.
func (s *sealing) change(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{sql, "VACUUM ANALYZE audt.audit_logs", "VACUUM ANALYZE cxg_audit.seal"} {
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			return err
		}
		args = nil
	}
	return nil
}

// run runs the tool and returns its peak memory in MiB.
func (s *sealing) run(ctx context.Context, args ...string) (memory float64, err error) {
	cmd := exec.CommandContext(ctx, s.tool, args...)
	cmd.Env = []string{"HOME=" + s.dir, "CXGCTL_MANAGER_DATABASE_URL=" + s.dsn, "CXGCTL_OPERATOR=admin"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	peak, err := watched(cmd)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out.Bytes())
	}
	return float64(peak) / (1 << 20), nil
}

// walk verifies n rows from a seal on.
func (s *sealing) walk(ctx context.Context, w io.Writer, title string, since, n int64) error {
	var rates, memory []float64
	for range sealRounds {
		began := time.Now()
		took, err := s.run(ctx, "audit", "verify", "-o", "id", "--since", fmt.Sprint(since))
		if err != nil {
			return err
		}
		rates, memory = append(rates, float64(n)/time.Since(began).Seconds()), append(memory, took)
	}
	_, _ = fmt.Fprintf(w, "%s\trows a second\t%.0f\t\t\t≥ 250000\n", title, median(rates))
	_, _ = fmt.Fprintf(w, "\tmemory, MiB\t%.0f\t\t\t\n", median(memory))
	return nil
}
