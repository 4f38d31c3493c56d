package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clipperhouse/displaywidth"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// person is a user at the terminal of a cxgctl process.
type person struct {
	*process
	keyboard *os.File
	mu       sync.Mutex
	screen   strings.Builder
	read     int // length of the output that awaits has consumed
	dark     chan struct{}
}

// startOnTerminal starts cxgctl with a pseudo-terminal.
func startOnTerminal(t *testing.T, pair dbtest.Pair, args ...string) *person {
	t.Helper()
	return cxgctl(t, pair, args...).onTerminal(t)
}

// onTerminal starts the process with a pseudo-terminal as its standard streams.
func (p *process) onTerminal(t *testing.T) *person {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	mode, err := unix.IoctlGetTermios(int(keyboard.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Iflag |= unix.IUTF8 // as terminal emulators do: the erase key erases a character, not a byte
	if err := unix.IoctlSetTermios(int(keyboard.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	if p.columns > 0 {
		if err := unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: p.columns, Row: 24}); err != nil {
			t.Fatal(err)
		}
	}
	sitting := &person{process: p, keyboard: keyboard, dark: make(chan struct{})}
	p.Stdin, p.Stdout, p.Stderr = tty, tty, tty
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.start(t)
	_ = tty.Close()
	go func() {
		defer close(sitting.dark)
		buf := make([]byte, 1<<12)
		for {
			n, err := keyboard.Read(buf)
			sitting.mu.Lock()
			sitting.screen.Write(buf[:n])
			sitting.mu.Unlock()
			if err != nil {
				return // EIO: all processes have closed the terminal
			}
		}
	}()
	return sitting
}

func (p *person) sees() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// awaits waits for a text after the last one that it found. A message may be broken at its spaces.
func (p *person) awaits(t *testing.T, text string) *person {
	t.Helper()
	pattern := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(text), " ", `(?: |\r\n  )`))
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if s := p.sees(); len(s) > p.read {
			if found := pattern.FindStringIndex(s[p.read:]); found != nil {
				p.read += found[1]
				return p
			}
		}
	}
	t.Fatalf("the screen never shows %q:\n%s", text, p.sees())
	return p
}

// types presses keys. For hidden input it first waits until the echo is off, because the prompt is printed before that.
func (p *person) types(t *testing.T, keys string, hidden bool) *person {
	t.Helper()
	for end := time.Now().Add(patience); hidden; time.Sleep(time.Millisecond) {
		mode, err := unix.IoctlGetTermios(int(p.keyboard.Fd()), unix.TCGETS)
		if err != nil || time.Now().After(end) {
			t.Fatalf("the echo stays on: %v", err)
		}
		hidden = mode.Lflag&unix.ECHO != 0
	}
	if _, err := p.keyboard.WriteString(keys); err != nil {
		t.Fatal(err)
	}
	return p
}

// leaves waits for the process and checks the exit code.
func (p *person) leaves(t *testing.T, want int) {
	t.Helper()
	got := p.exit(t)
	<-p.dark
	if got != want {
		t.Errorf("exit code %d, want %d:\n%s", got, want, p.sees())
	}
}

func TestDelete_AsksForConfirmation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, keys, says string
		code             int
		done             bool
	}{
		{"y", "y\n", "deleted user ada (undo: cxgctl audit undo ", 0, true},
		{"YES", " YES \n", "deleted user ada (undo: cxgctl audit undo ", 0, true},
		{"n", "n\n", "cancelled", 10, false},
		{"no answer", "\n", "cancelled", 10, false},
		{"something else", "yo\n", "cancelled", 10, false},
		{"end of input", "\x04", "cancelled", 10, false},
		{"Ctrl-C", "\x03", "interrupted", 130, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			p := startOnTerminal(t, pair, "users", "delete", "ada")
			p.awaits(t, "delete user ada (").awaits(t, "_mgmt)? [y/N] ").types(t, c.keys, false).awaits(t, c.says)
			p.leaves(t, c.code)
			if got := ask(t, pair.Manager, "SELECT NOT is_active FROM idam.users WHERE username = 'ada'"); (got == "t") != c.done {
				t.Errorf("deleted: %s, want %t", got, c.done)
			}
			if !c.done {
				untouched(t, pair.Manager)
			}
		})
	}
	t.Run("--no-input", func(t *testing.T) {
		t.Parallel()
		startOnTerminal(t, withAda(t), "users", "delete", "ada", "--no-input").leaves(t, 10)
	})
	t.Run("--yes", func(t *testing.T) {
		t.Parallel()
		startOnTerminal(t, withAda(t), "users", "delete", "ada", "--yes").leaves(t, 0)
	})
}

// The timeout is paused during a question.
func TestConfirmation_PausesTimeout(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	p := startOnTerminal(t, pair, "users", "delete", "ada", "--timeout", "2s").awaits(t, "[y/N] ")
	time.Sleep(2500 * time.Millisecond)
	p.types(t, "y\n", false).leaves(t, 0)
}

// If the row changes during the question, the command fails with a conflict.
func TestConfirmation_RowChangedMeanwhile(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	p := startOnTerminal(t, pair, "users", "delete", "ada").awaits(t, "[y/N] ")
	if _, err := query(t.Context(), pair.Manager, "UPDATE idam.users SET department = 'elsewhere' WHERE username = 'ada'"); err != nil {
		t.Fatal(err)
	}
	p.types(t, "y\n", false).awaits(t, `user "ada" has just been changed by someone else`)
	p.leaves(t, 4)
	untouched(t, pair.Manager)
}

// protected returns the configuration of a protected profile.
func protected(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prod.yaml")
	if err := os.WriteFile(file, []byte("profile: prod\nprofiles:\n  prod: {protected: true, operator: admin}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// In a protected profile the changes are shown before the question, rows are not locked meanwhile, and exactly these
// changes are made, or none.
func TestConfirmation_ProtectedProfileShowsChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args            []string
		shows, question string
		meanwhile, says string
		code            int
	}{
		"agreed":               {[]string{"users", "update", "ada", "--phone", newPhone}, "  phone: \x1b[31m\"old\"\x1b[0m → \x1b[32m\"" + newPhone + "\"\x1b[0m", "update user ada (", "", "updated user ada (undo: cxgctl audit undo ", 0},
		"a batch":              {[]string{"users", "status", "ada", "--set", "LOCKED"}, "\"LOCKED\"", "change the status of user ada (", "", "updated user ada (undo: ", 0},
		"a new row":            {[]string{"users", "create", "--username", "bob", "--email", "bob@example.com", "--full-name", "Bob", "--no-password"}, "  username: \x1b[32m\"bob\"", "create user bob (", "", "created user bob (undo: ", 0},
		"changed meanwhile":    {[]string{"users", "update", "ada", "--phone", newPhone}, newPhone, "[y/N] ", `UPDATE idam.users SET phone = 'theirs' WHERE username = 'ada'`, "nothing was changed", 4},
		"taken meanwhile":      {[]string{"users", "update", "ada", "--email", "bob@example.com"}, "bob@example.com", "[y/N] ", `INSERT INTO idam.users (username, email, full_name) VALUES ('bob', 'bob@example.com', 'Bob')`, "is taken", 4},
		"not locked meanwhile": {[]string{"users", "delete", "ada"}, "is_active", "delete user ada (", `SELECT FROM idam.users WHERE username = 'ada' FOR UPDATE NOWAIT`, "deleted user ada (undo: ", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			p := startOnTerminal(t, pair, append(c.args, "--config", protected(t))...)
			p.awaits(t, c.shows).awaits(t, "profile prod is protected").awaits(t, c.question)
			if c.meanwhile != "" {
				if _, err := query(t.Context(), pair.Manager, c.meanwhile); err != nil {
					t.Fatal(err)
				}
			}
			p.types(t, "y\n", false).awaits(t, c.says)
			p.leaves(t, c.code)
			if n := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS'`); (n == "1") != (c.code == 0) {
				t.Errorf("%s audit rows of changes", n)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		pair := withAda(t)
		p := startOnTerminal(t, pair, "users", "update", "ada", "--phone", newPhone, "--config", protected(t))
		p.awaits(t, "_mgmt, profile \x1b[1mprod\x1b[0m)? [y/N] ").types(t, "n\n", false).awaits(t, "cancelled")
		p.leaves(t, 10)
		untouched(t, pair.Manager)
	})
}

// N21a, A-40, A-32: a question names the rows, the database and the profile, and wants the number of many rows typed.
func TestConfirmation_NamesRowsDatabaseProfile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "prod.yaml")
	if err := os.WriteFile(file, []byte("profile: prod\nprofiles:\n  prod: {operator: admin, color: red}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, question, where, how, keys, says string
		code                                   int
	}{
		{"u1 u2", "delete 2 users: u1, u2", " (", "? [y/N] ", "y\n", "deleted 2 users", 0},
		{"--search u", "delete 120 users: ", " and 115 more (", "? Type 120 to confirm: ", "y\n", "cancelled", 10},
		{"--search u", "delete 120 users: ", " and 115 more (", "? Type 120 to confirm: ", "120\n", "deleted 120 users", 0},
	} {
		t.Run(c.args+c.keys, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			ask(t, pair.Manager, `INSERT INTO idam.users (username, email, full_name)
				SELECT 'u' || n, 'u' || n || '@example.com', 'U' FROM generate_series(1, 120) n RETURNING 1`)
			p := startOnTerminal(t, pair, append([]string{"users", "delete", "--config", file}, strings.Fields(c.args)...)...)
			p.awaits(t, c.question).awaits(t, c.where).awaits(t, "_mgmt, profile \x1b[1;31mprod\x1b[0m)"+c.how)
			p.types(t, c.keys, false).awaits(t, c.says).leaves(t, c.code)
		})
	}
}

// On a terminal a person learns what a command waits for, but not with -q.
func TestWaiting_NamesLockHolder(t *testing.T) {
	t.Parallel()
	for _, quiet := range []bool{false, true} {
		pair := withAda(t)
		conn, err := pgx.Connect(t.Context(), pair.Manager+"&application_name=psql")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(t.Context(), `BEGIN; UPDATE idam.users SET phone = 'theirs' WHERE username = 'ada'`); err != nil {
			t.Fatal(err)
		}
		args := []string{"users", "update", "ada", "--phone", newPhone}
		if quiet {
			p := startOnTerminal(t, pair, append(args, "-q", "--timeout", "3s")...)
			p.leaves(t, 8)
			if strings.Contains(p.sees(), "waiting for a lock held") {
				t.Errorf("with -q:\n%s", p.sees())
			}
			continue
		}
		p := startOnTerminal(t, pair, args...)
		p.awaits(t, fmt.Sprintf("\rwaiting for a lock held by pid %d (psql, ", conn.PgConn().PID()))
		if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
			t.Fatal(err)
		}
		p.awaits(t, "\r\x1b[K").awaits(t, "updated user ada").leaves(t, 0)
	}
}

// A person also learns that a statement is slow without a lock.
func TestWaiting_SlowStatement(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	conn, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2.5); RETURN new; END';
		CREATE TRIGGER slow BEFORE UPDATE ON idam.users FOR EACH ROW EXECUTE FUNCTION slow()`); err != nil {
		t.Fatal(err)
	}
	p := startOnTerminal(t, pair, "users", "update", "ada", "--phone", newPhone)
	p.awaits(t, "\rwaiting for the database … 1s").awaits(t, "\r\x1b[K").awaits(t, "updated user ada").leaves(t, 0)
}

// A list that streams also names what it waits for, until its first row.
func TestWaiting_Stream(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	if _, err := unchecked(t, pair.Manager).Exec(t.Context(), insertInvoice, "INV-1", 1); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), pair.Manager+"&application_name=psql")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, format := range []string{"table", "csv"} {
		if _, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE bill.invoices`); err != nil {
			t.Fatal(err)
		}
		p := startOnTerminal(t, pair, "invoices", "list", "--all", "-o", format)
		p.awaits(t, fmt.Sprintf("\rwaiting for a lock held by pid %d (psql, ", conn.PgConn().PID()))
		if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
			t.Fatal(err)
		}
		p.awaits(t, "\r\x1b[K").awaits(t, "INV-1").leaves(t, 0)
		_, rows, _ := strings.Cut(p.sees(), "\r\x1b[K")
		if strings.Contains(rows, "waiting") {
			t.Errorf("-o %s says that it waits after the first row:\n%s", format, p.sees())
		}
	}
}

// N35: the rules are told before the first entry, and a weak one is refused before the second.
func TestPassword_PromptedTwiceWithoutEcho(t *testing.T) {
	t.Parallel()
	const pw = "Canary-Horse-9"
	for _, c := range []struct {
		name, first, second, says string
		code                      int
	}{
		{"twice alike", pw + "\n", pw + "\n", "updated user ada (operation ", 0},
		{"two that differ", pw + "\n", "Canary-Horse-8\n", "the two passwords differ", 5},
		{"a weak one", "canary\n", "", "8 to 100 are required; it must contain an upper-case letter and a digit", 5},
		{"Ctrl-C at the first", "\x03", "", "interrupted", 130},
		{"Ctrl-C at the second", pw + "\n", "\x03", "interrupted", 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			p := startOnTerminal(t, pair, "users", "password", "ada")
			p.awaits(t, "a password has 8 to 100 characters, with an upper-case letter, ").awaits(t, "new password: ").types(t, c.first, true)
			if c.second != "" {
				p.awaits(t, "repeat the password: ").types(t, c.second, true)
			}
			p.awaits(t, c.says)
			// The terminal is restored.
			if mode, err := unix.IoctlGetTermios(int(p.keyboard.Fd()), unix.TCGETS); err != nil || mode.Lflag&unix.ECHO == 0 {
				t.Errorf("the echo stays off (%v)", err)
			}
			p.leaves(t, c.code)
			if strings.Contains(strings.ToLower(p.sees()), "canary") {
				t.Errorf("the screen shows the password:\n%s", p.sees())
			}
			hash := ask(t, pair.Manager, "SELECT password FROM idam.users WHERE username = 'ada'")
			if c.code != 0 {
				untouched(t, pair.Manager)
				return
			}
			if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(pw)); err != nil {
				t.Error(err)
			}
		})
	}
}

// On a terminal tables are coloured and cut to its width, and times are relative.
func TestTable_OnTerminal(t *testing.T) {
	t.Parallel()
	p := startOnTerminal(t, withAda(t), "users", "get", "ada")
	p.leaves(t, 0)
	for _, want := range []string{"\x1b[32mACTIVE\x1b[0m", " ago)"} {
		if !strings.Contains(p.sees(), want) {
			t.Errorf("the screen lacks %q:\n%s", want, p.sees())
		}
	}
}

// M8: on a terminal auth login asks for the code of the second factor, then for a new password if one is due.
func TestLogin_AsksForCodeAndNewPassword(t *testing.T) {
	t.Parallel()
	const old, pw = "Canary-Horse-1", "Canary-Horse-9"
	pair := withAda(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(old), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, pair.Manager, "UPDATE idam.users SET user_type = 'MASTER', mfa_enabled = true, mfa_secret = 'JBSWY3DPEHPK3PXP', force_password_change = true, password = '"+
		string(hash)+"' WHERE username = 'ada' RETURNING 1")
	ask(t, pair.Manager, "INSERT INTO idam.sessions (session_id, user_id, session_type, ip_address, status, expires_at, last_activity_at, mfa_verified) "+
		"SELECT 's', id, 'WEB', '192.0.2.7', 'ACTIVE', now() + interval '1 day', now(), false FROM idam.users WHERE username = 'ada' RETURNING 1")
	login := func() *person {
		p := startOnTerminal(t, pair, "auth", "login", "--username", "ada")
		p.awaits(t, "password of ada: ").types(t, old+"\n", true)
		code, err := totp.GenerateCode("JBSWY3DPEHPK3PXP", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		p.awaits(t, "code of the authenticator app: ").types(t, code+"\n", true)
		p.awaits(t, "ada must set a new password first")
		return p
	}
	p := login()
	p.awaits(t, "new password: ").types(t, old+"\n", true).awaits(t, "repeat the password: ").types(t, old+"\n", true)
	p.awaits(t, "the new password is the same as the old one").leaves(t, 5)
	p = login()
	p.awaits(t, "new password: ").types(t, pw+"\n", true).awaits(t, "repeat the password: ").types(t, pw+"\n", true)
	p.leaves(t, 0)
	if strings.Contains(strings.ToLower(p.sees()), "canary") {
		t.Errorf("the screen shows the password:\n%s", p.sees())
	}
	stored := ask(t, pair.Manager, "SELECT password FROM idam.users WHERE username = 'ada' AND NOT force_password_change AND password_changed_at IS NOT NULL")
	if err := bcrypt.CompareHashAndPassword([]byte(stored), []byte(pw)); err != nil {
		t.Error(err)
	}
	// The new password ended the other session but not the login.
	if got := ask(t, pair.Manager, "SELECT string_agg(session_type || ' ' || status, ', ' ORDER BY session_type) FROM idam.sessions"); got != "API ACTIVE, WEB REVOKED" {
		t.Errorf("sessions: %s", got)
	}
	if got := ask(t, pair.Manager, "SELECT count(*) FROM audt.audit_logs WHERE event_type = 'PASSWORD_CHANGE' AND extra_data->'after'->>'password' = 'changed'"); got != "1" {
		t.Errorf("%s audit rows of a password", got)
	}
}

// N11, A-33: on a terminal an import prints the number of processed rows on one line, and then how to undo it.
func TestImport_ProgressCountsRows(t *testing.T) {
	t.Parallel()
	var rows strings.Builder
	rows.WriteString("username,email,full_name\n")
	for i := range 5000 {
		fmt.Fprintf(&rows, "user%d,user%d@example.com,User\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "many.csv")
	if err := os.WriteFile(file, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for width, bar := range map[uint16]bool{60: false, 100: true} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			// a batch takes longer than the time between two reports
			if _, err := query(t.Context(), pair.Manager, `CREATE FUNCTION public.slowly() RETURNS trigger LANGUAGE plpgsql AS
				'BEGIN PERFORM pg_catalog.pg_sleep(0.3); RETURN NULL; END'`); err != nil {
				t.Fatal(err)
			}
			if _, err := query(t.Context(), pair.Manager,
				`CREATE TRIGGER slowly BEFORE INSERT ON idam.users FOR EACH STATEMENT EXECUTE FUNCTION public.slowly()`); err != nil {
				t.Fatal(err)
			}
			process := cxgctl(t, pair, "users", "import", file, "--no-passwords")
			process.columns = width
			p := process.onTerminal(t)
			p.awaits(t, " 50 %  2,500 of 5,000 rows, ").awaits(t, "/s, 0 failed")
			p.awaits(t, " 75 %  3,750 of 5,000 rows, ").awaits(t, "5,000 created").awaits(t, "(undo: cxgctl users import --undo ").leaves(t, 0)
			progress, _, _ := strings.Cut(p.sees(), "5,000 created")
			for line := range strings.SplitSeq(strings.ReplaceAll(progress, "\x1b[K", ""), "\r") {
				if displaywidth.String(line) > int(width) || strings.Contains(line, "rows, ") && strings.Contains(line, "█") != bar {
					t.Errorf("the line %q", line)
				}
			}
		})
	}
}

// A generated password is shown on a terminal, where a change is otherwise shown as a difference.
func TestTerminal_ShowsGeneratedPasswords(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	for _, who := range [][]string{{"ada"}, {"ada", "admin"}} {
		p := startOnTerminal(t, pair, append([]string{"users", "password", "--generate-password"}, who...)...)
		p.leaves(t, 0)
		if n := len(regexp.MustCompile(`\b[A-Za-z0-9]{5}(-[A-Za-z0-9]{5}){3}\b`).FindAllString(p.sees(), -1)); n != len(who) {
			t.Errorf("%d passwords for %v:\n%s", n, who, p.sees())
		}
	}
}
