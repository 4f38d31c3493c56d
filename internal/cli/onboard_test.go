package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/korean"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// onboarded counts live users, members, grants, and audit rows of what the key did, apart from reads.
const onboarded = `SELECT concat_ws(' ', (SELECT count(*) FROM idam.users WHERE username LIKE 'onb%' AND is_active),
	(SELECT count(*) FROM tnnt.tenant_users WHERE status = 'ACTIVE'), (SELECT count(DISTINCT tenant_id) FROM tnnt.tenant_users WHERE status = 'ACTIVE'),
	(SELECT count(*) FROM idam.user_roles g JOIN idam.users u ON u.id = g.user_id WHERE u.username LIKE 'onb%' AND g.status = 'ACTIVE'),
	(SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS' AND action_performed = 'CREATE' AND description LIKE 'users import%'))`

// The script of the cookbook onboards users from a cp949 csv and a workbook into three tenants, under a service's key.
// It is killed at random times, ends in the same state, changes nothing when it is run again, and undoes everything.
func TestCookbook_Onboarding(t *testing.T) {
	t.Parallel()
	users, kills := 3000, 8
	if testing.Short() {
		users, kills = 300, 2
	}
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, `INSERT INTO tnnt.tenants (code, name) SELECT 'shop' || n, 'Shop' FROM generate_series(0, 2) n`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "onboarding.key")
	cxgctl(t, pair, "auth", "bootstrap", "--username", "admin").exits(t, 0)
	cxgctl(t, pair, "auth", "token", "--create", "--name", "onboarding", "--token-out", key, "--permissions",
		"USER_CREATE,USER_UPDATE,USER_DELETE,TENANT_UPDATE,PERMISSION_MANAGE,USER_READ,TENANT_READ,DASHBOARD_READ").exits(t, 0)
	files := onboardingFiles(t, dir, users)
	text, _ := topic("cookbook")
	_, text, _ = strings.Cut(text, "\n## Onboard ")
	var script strings.Builder
	for line := range strings.Lines(text) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			script.WriteString(code)
		}
	}
	if n := strings.Count(script.String(), "\n"); n > 40 {
		t.Errorf("the script has %d lines", n)
	}
	exe, err := os.Executable()
	if err == nil {
		err = os.Symlink(exe, filepath.Join(dir, "cxgctl"))
	}
	if err != nil {
		t.Fatal(err)
	}
	// run runs the script, and kills it with its cxgctl after a time unless that is 0
	run := func(action string, end time.Duration) (int, string) {
		p := cxgctl(t, pair)
		sh := exec.CommandContext(t.Context(), "sh", append([]string{"-c", script.String(), "onboard.sh", action}, files...)...)
		sh.Dir, sh.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
		sh.Env = slices.Concat(p.Env, []string{"CXGCTL_OPERATOR=", "CXGCTL_TOKEN_FILE=" + key, "PATH=" + dir + ":" + os.Getenv("PATH")})
		sh.Stdout, sh.Stderr = &p.out, &p.out
		if err := sh.Start(); err != nil {
			t.Fatal(err)
		}
		if end > 0 {
			timer := time.AfterFunc(end, func() { _ = syscall.Kill(-sh.Process.Pid, syscall.SIGKILL) })
			defer timer.Stop()
		}
		err := sh.Wait()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode(), p.out.String()
		}
		return 0, p.out.String()
	}
	finish := func(action string) {
		for range kills {
			run(action, time.Duration(rand.IntN(2000))*time.Millisecond)
		}
		deadline := time.Now().Add(patience)
		for {
			code, out := run(action, 0)
			if code == 0 {
				return
			}
			if code != 75 || time.Now().After(deadline) { // the lease of a killed run ends with its session
				t.Fatalf("%s: exit code %d\n%s", action, code, out)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	want := fmt.Sprintf("%[1]d %[1]d 3 %[1]d %[2]d", users, 3*users)
	finish("apply")
	if got := ask(t, pair.Manager, onboarded); got != want {
		t.Fatalf("onboarded %s, want %s", got, want)
	}
	if code, out := run("apply", 0); code != 0 || out != "" || ask(t, pair.Manager, onboarded) != want {
		t.Errorf("repeated: exit code %d, %s\n%s", code, ask(t, pair.Manager, onboarded), out)
	}
	finish("undo")
	if got := ask(t, pair.Manager, onboarded); !strings.HasPrefix(got, "0 0 0 0 ") {
		t.Errorf("undone, but %s", got)
	}
}

// onboardingFiles writes the users, half of them to a cp949 csv with semicolons and half to a workbook.
func onboardingFiles(t *testing.T, dir string, users int) []string {
	t.Helper()
	header := []any{"username", "email", "full_name", "tenant", "tenant_role", "roles"}
	row := func(i int) []any {
		return []any{fmt.Sprintf("onb%d", i), fmt.Sprintf("onb%d@example.com", i), "김하나", fmt.Sprintf("shop%d", i%3), "STAFF", "TENANT_USER"}
	}
	csv := strings.Trim(strings.ReplaceAll(fmt.Sprint(header), " ", ";"), "[]") + "\r\n"
	book := excelize.NewFile()
	err := book.SetSheetRow("Sheet1", "A1", &header)
	for i := range users {
		cells := row(i)
		if i%2 == 0 {
			csv += strings.Trim(strings.ReplaceAll(fmt.Sprint(cells), " ", ";"), "[]") + "\r\n"
		} else if err == nil {
			err = book.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i/2+2), &cells)
		}
	}
	files := []string{filepath.Join(dir, "staff.csv"), filepath.Join(dir, "partners.xlsx")}
	if err == nil {
		err = book.SaveAs(files[1])
	}
	if err == nil {
		csv, err = korean.EUCKR.NewEncoder().String(csv)
	}
	if err == nil {
		err = os.WriteFile(files[0], []byte(csv), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return files
}
