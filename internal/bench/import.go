package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/password"
)

// byHand does the work of an import in psql: the file into a staging table, the users from there, and an audit row
// with the same content as cxgctl's for each. One transaction.
const byHand = `
BEGIN;
CREATE TEMP TABLE staging (username text, email text, full_name text, phone text, department text, position text) ON COMMIT DROP;
\copy staging FROM '%s' WITH (FORMAT csv, HEADER)
WITH made AS (
  INSERT INTO idam.users (username, email, full_name, phone, department, position, user_type, status, created_at, created_by)
  SELECT username, email, full_name, phone, department, position, 'TENANT', 'ACTIVE', now(), (SELECT id FROM idam.users WHERE username = 'admin')
    FROM staging ON CONFLICT DO NOTHING RETURNING *)
INSERT INTO audt.audit_logs (created_at, created_by, user_id, event_type, event_category, description, user_agent, resource,
       resource_id, action_performed, result, risk_level, extra_data, status, deleted)
SELECT now(), m.created_by, m.created_by, 'ADMIN_ACTION', 'DATA_MODIFICATION', 'users import: user ' || m.username, 'psql', 'USER_ACCOUNT',
       m.id::text, 'CREATE', 'SUCCESS', 'LOW',
       jsonb_build_object('tool', 'psql', 'op_id', '01a20d33-1586-7ac7-950f-f901c6da3694', 'resource', 'user', 'operator', 'admin',
         'auth_method', 'claim', 'claimed', 'admin', 'os_user', 'root', 'host', 'bench', 'pid', 1, 'client_version', 'psql',
         'command', 'users import', 'session_user', session_user, 'after', to_jsonb(m) - '{password,salt_key,mfa_secret,backup_codes}'::text[]),
       'ACTIVE', false
  FROM made m;
COMMIT;
`

// imports compares users import with psql, each run in a fresh copy of the database.
func imports(ctx context.Context, w *tabwriter.Writer, tool string, s devdb.Status, dir string, sizes []int, rounds int) error {
	psql := filepath.Join(s.BinDir, "psql")
	sql := func(database, script string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", s.DSN(database))
		cmd.Stdin = strings.NewReader(script)
		return cmd
	}
	perRow := map[int]float64{}
	for _, n := range append([]int{10_000}, sizes...) {
		file := filepath.Join(dir, fmt.Sprintf("import%d.csv", n))
		if err := os.WriteFile(file, people(n), 0o644); err != nil {
			return err
		}
		var times [3][]time.Duration
		var memory int64
		for range rounds {
			for i := range times {
				if _, err := quietly(sql("postgres", "DROP DATABASE IF EXISTS bench_import;\nCREATE DATABASE bench_import TEMPLATE mgmt;\nCHECKPOINT;\n")); err != nil {
					return err
				}
				if i == 2 {
					if _, err := quietly(sql("bench_import", "DROP SCHEMA cxg_audit CASCADE;\n")); err != nil {
						return err
					}
				}
				cmd := sql("bench_import", fmt.Sprintf(byHand, file))
				if i > 0 {
					cmd = exec.CommandContext(ctx, tool, "users", "import", file, "--no-passwords", "-q")
					cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "CXGCTL_OPERATOR=admin", "CXGCTL_MANAGER_DATABASE_URL=" + s.DSN("bench_import")}
					cmd.Dir = dir
				}
				start := time.Now()
				peak, err := quietly(cmd)
				if err != nil {
					return err
				}
				times[i] = append(times[i], time.Since(start))
				if i == 1 {
					memory = max(memory, peak)
				}
			}
		}
		title := fmt.Sprintf("import of %d users", n)
		names := []string{"psql: COPY, INSERT … SELECT twice, by hand", fmt.Sprintf("cxgctl users import (at most %d MB)", memory>>20), "… without seals"}
		plain := row(w, title, names, times[:], n, "≤ 1.0")
		sealed := times[1][len(times[1])/2].Seconds()
		_, _ = fmt.Fprintf(w, "\trows a second with seals, of those without\t\t\t%.2f\t≥ 0.9\n", plain/sealed)
		perRow[n] = sealed / float64(n)
	}
	largest := sizes[len(sizes)-1]
	_, _ = fmt.Fprintf(w, "\ta row of %d against one of 10000\t\t\t%.2f\t≤ 1.3\n", largest, perRow[largest]/perRow[10_000])
	return loop(ctx, w, psql, s, perRow[largest])
}

// loop measures the shell loop that the import replaces.
func loop(ctx context.Context, w *tabwriter.Writer, psql string, s devdb.Status, perRow float64) error {
	const rows = 100
	start := time.Now()
	for i := range rows {
		cmd := exec.CommandContext(ctx, psql, "-X", "-q", s.DSN("bench_import"), "-c", fmt.Sprintf(
			`INSERT INTO idam.users (username, email, full_name, user_type, status, created_at) VALUES ('loop%[1]d', 'loop%[1]d@example.com', 'Loop', 'TENANT', 'ACTIVE', now());
			 INSERT INTO audt.audit_logs (event_type, event_category, description, result, risk_level, status, deleted) VALUES ('ADMIN_ACTION', 'DATA_MODIFICATION', 'loop%[1]d', 'SUCCESS', 'LOW', 'ACTIVE', false)`, i))
		if _, err := quietly(cmd); err != nil {
			return err
		}
	}
	each := time.Since(start).Seconds() / rows
	_, _ = fmt.Fprintf(w, "\ta shell loop of psql -c, relative to the import\t%.1f ms a row\t\t%.0f\t≥ 300\n", each*1000, each/perRow)
	return nil
}

// hashing compares x/crypto on all cores with the import's workers.
func hashing(ctx context.Context, w *tabwriter.Writer, rounds int) error {
	const n = 32
	passwords := make([]string, n)
	for i := range passwords {
		passwords[i] = fmt.Sprintf("Correct-Horse-%d", i)
	}
	var times [2][]time.Duration
	for range rounds {
		for i := range times {
			start := time.Now()
			if i == 0 {
				var all sync.WaitGroup
				for core := range runtime.NumCPU() {
					all.Go(func() {
						for j := core; j < n; j += runtime.NumCPU() {
							_, _ = bcrypt.GenerateFromPassword([]byte(passwords[j]), 12)
						}
					})
				}
				all.Wait()
			} else {
				if _, err := password.HashAll(ctx, passwords, password.Cost); err != nil {
					return err
				}
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	row(w, fmt.Sprintf("%d passwords, cost 12", n), []string{"x/crypto on every core", "users import"}, times[:], n, "≤ 1.05")
	return nil
}

// row prints a case with its rate, and returns the last contender's median in seconds.
func row(w *tabwriter.Writer, title string, names []string, times [][]time.Duration, n int, goal string) float64 {
	var first, median float64
	for i, list := range times {
		slices.Sort(list)
		median = list[len(list)/2].Seconds()
		of := ""
		if i == 0 {
			first = median
		} else {
			title, of = "", goal
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.2f s, %.0f/s\t%.2f s\t%.2f\t%s\n", title, names[i], median, float64(n)/median, list[0].Seconds(), median/first, of)
	}
	return median
}

func people(n int) []byte {
	var b bytes.Buffer
	b.WriteString("username,email,full_name,phone,department,position\n")
	for i := range n {
		fmt.Fprintf(&b, "person%[1]d,person%[1]d@example.co.kr,김 사용자 %[1]d,+82 2 %07[1]d,Sales,Manager\n", i)
	}
	return b.Bytes()
}

// quietly is watched, with the command's stderr in the error.
func quietly(cmd *exec.Cmd) (peak int64, err error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if peak, err = watched(cmd); err != nil {
		err = fmt.Errorf("%s: %w\n%s", cmd.Path, err, stderr.String())
	}
	return peak, err
}
