package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// job is a command of a unit or a crontab, with all of its environment.
type job struct {
	name string
	argv []string
	env  []string
}

// The Debian package is installed, the jobs of its units and of its crontab do what their documents say, and removing it
// leaves nothing behind. N19b, N45: a job runs with only the environment that is written down.
func TestPackage(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the release of this platform")
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg is not installed")
	}
	t.Parallel()
	dist, root := t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "../../packaging/dist")
	build.Env = append(os.Environ(), "PLATFORMS=linux/"+runtime.GOARCH, "VERSION=v1.2.3-4-gabcdef0", "LDFLAGS=-s -w", "OUT="+dist)
	succeeds(t, build)
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = dist
	succeeds(t, sums)
	checkImage(t, glob(t, dist, "*-oci.tar"))
	checkELF(t, untar(t, glob(t, dist, "cxgctl-1.2.3+4.gabcdef0-linux-*.tar.gz"), "bin/cxgctl"))
	checkRPM(t, glob(t, dist, "cxgctl-1.2.3+4.gabcdef0*.rpm"), map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH], []string{
		"/usr/bin/cxgctl", "/usr/share/man/man1/cxgctl-users-create.1.gz", "/usr/share/bash-completion/completions/cxgctl",
		"/usr/share/zsh/site-functions/_cxgctl", "/usr/share/fish/vendor_completions.d/cxgctl.fish", "/usr/share/doc/cxgctl/examples/crontab",
		"/usr/lib/systemd/system/cxgctl-export@.timer", "/usr/lib/systemd/system/cxgctl-overdue.service", "/usr/lib/systemd/system/cxgctl-seal.timer",
	})

	deb := glob(t, dist, "cxgctl_1.2.3+4.gabcdef0*.deb")
	remove := installPackage(t, deb, root)
	for _, file := range []string{
		"man/man1/cxgctl-users-create.1.gz", "man/man7/cxgctl-cron.7.gz", "bash-completion/completions/cxgctl",
		"zsh/vendor-completions/_cxgctl", "fish/vendor_completions.d/cxgctl.fish", "doc/cxgctl/examples/crontab",
	} {
		if _, err := os.Stat(filepath.Join(root, "usr/share", file)); err != nil {
			t.Error(err)
		}
	}
	units := glob(t, root, "usr/lib/systemd/system")
	verifyUnits(t, units, root)
	runJobs(t, root)
	t.Run("under systemd", func(t *testing.T) { runUnits(t, deb, filepath.Join(root, "usr/bin/cxgctl")) })
	remove()
}

// onSystemd runs as the only service of a system, as its administrator would.
const onSystemd = `set -ex
systemd-detect-virt --container
rm -rf /var/lib/cxgctl /var/lib/private/cxgctl
dpkg -i /mnt/cxgctl.deb
systemctl cat cxgctl-export@.service cxgctl-overdue.timer cxgctl-seal.timer
timers='cxgctl-export@invoices.timer cxgctl-overdue.timer cxgctl-seal.timer'
systemctl enable --now $timers
systemctl list-timers --no-pager
for unit in cxgctl-export@invoices cxgctl-overdue cxgctl-seal; do
	systemctl start $unit || { journalctl --no-pager -u $unit; exit 1; }
done
grep -q ^id,invoice_no, /var/lib/cxgctl/invoices.csv
grep '^cxgctl_last_run_exit_code.* 0$' /var/lib/cxgctl/export-invoices.prom
zgrep -q 'cxgctl manual' /usr/share/man/man1/cxgctl.1.gz
systemctl disable --now $timers
dpkg --purge cxgctl
! systemctl cat cxgctl-seal.timer
! command -v cxgctl
`

// runUnits installs a package on a copy of this system, boots systemd there, runs the units with their credentials and
// sandbox, and purges the package. The copy is in memory, in namespaces and without a network.
func runUnits(t *testing.T, deb, binary string) {
	if _, err := exec.LookPath("systemd-nspawn"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and systemd-nspawn, which is in Debian's package systemd-container")
	}
	pair := dbtest.New(t, migrated)
	// Only the server's user can enter the folder of its socket.
	server, err := pgx.ParseConfig(relay(t, pair.Manager, "unix", func(client, server net.Conn) {
		go io.Copy(server, client) //nolint:errcheck // ends with the connection
		_, _ = io.Copy(client, server)
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{server.Host, filepath.Join(server.Host, ".s.PGSQL.5432")} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	etc, mnt, host := configure(t, pair, binary), t.TempDir(), t.TempDir()
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(etc, "config.yaml"), fmt.Sprintf("profile: prod\nprofiles:\n  prod:\n    manager_database_url: host=/srv user=%s dbname=%s\n", server.User, server.Database))
	write(filepath.Join(etc, "export-invoices.env"), "EXPORT=invoices list --all --output-file /var/lib/cxgctl/invoices.csv --if-changed\n")
	write(filepath.Join(mnt, "try.sh"), onSystemd)
	write(filepath.Join(mnt, "try.service"), `[Service]
Type=oneshot
ExecStart=/bin/bash -c '/bin/bash /mnt/try.sh >/mnt/log 2>&1 && echo succeeded >>/mnt/log'
ExecStopPost=/bin/systemctl exit --force --force
`)
	ctx, cancel := context.WithTimeout(t.Context(), 12*patience)
	defer cancel()
	boot := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-c", `mount --bind / "$0" && exec systemd-nspawn -D "$0" "$@"`, host,
		"--boot", "--volatile=overlay", "--private-network", "--register=no", "--keep-unit", "--console=pipe", fmt.Sprintf("--machine=cxgctl-%d", os.Getpid()),
		"--bind="+mnt+":/mnt", "--bind-ro="+deb+":/mnt/cxgctl.deb", "--bind-ro="+etc+":/etc/cxgctl", "--bind="+server.Host+":/srv",
		"--bind-ro="+mnt+"/try.service:/etc/systemd/system/try.service",
		"--bind-ro=/dev/null:/etc/systemd/system/network-online.target", // nothing to wait for
		"systemd.unit=try.service")
	console, err := boot.CombinedOutput()
	log, _ := os.ReadFile(filepath.Join(mnt, "log"))
	if len(log) == 0 {
		t.Skipf("systemd does not boot here: %v\n%s", err, console)
	}
	if !strings.HasSuffix(string(log), "succeeded\n") {
		t.Errorf("%v\n%s\n%s", err, console, log)
	}
}

// configure writes the credentials of a service into a new folder, as in /etc/cxgctl.
func configure(t *testing.T, pair dbtest.Pair, binary string) (etc string) {
	t.Helper()
	etc = t.TempDir()
	credentials := filepath.Join(etc, "credentials")
	if err := os.Mkdir(credentials, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(credentials, "password"), []byte("unused\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := exec.CommandContext(t.Context(), binary, "auth", "token", "--create", "--name", "jobs", "--operator", "admin", "-q",
		"--permissions", "INVOICE_LIST,INVOICE_UPDATE,AUDIT_READ,AUDIT_LIST", "--token-out", filepath.Join(credentials, "token"))
	key.Env = []string{"HOME=" + etc, "CXGCTL_MANAGER_DATABASE_URL=" + pair.Manager}
	succeeds(t, key)
	return etc
}

// untar returns a file of an archive, by its path below the archive's only folder.
func untar(t *testing.T, file, path string) []byte {
	t.Helper()
	archive, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	packed, err := gzip.NewReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(packed); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s in %s: %v", path, file, err)
		}
		if _, below, _ := strings.Cut(h.Name, "/"); below != path {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// checkELF checks that a binary is for this machine and needs no libraries.
func checkELF(t *testing.T, text []byte) {
	t.Helper()
	binary, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	libraries, _ := binary.ImportedLibraries()
	if binary.Machine != want || len(libraries) > 0 {
		t.Errorf("linux/%s: %s, libraries %q", runtime.GOARCH, binary.Machine, libraries)
	}
}

func glob(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, dir, found, err)
	}
	return found[0]
}

func succeeds(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// installPackage installs a package below root and returns what removes it. Only root can install; other users unpack.
func installPackage(t *testing.T, file, root string) (remove func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		succeeds(t, exec.CommandContext(t.Context(), "dpkg-deb", "-x", file, root))
		return func() {}
	}
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) {
		succeeds(t, exec.CommandContext(t.Context(), "dpkg", append([]string{"--root=" + root, "--force-script-chrootless"}, args...)...))
	}
	dpkg("--install", file)
	return func() {
		dpkg("--purge", "cxgctl")
		if _, err := os.Stat(filepath.Join(root, "usr")); err == nil {
			t.Error("the removed package leaves /usr")
		}
	}
}

// verifyUnits runs systemd-analyze where it is installed.
func verifyUnits(t *testing.T, dir, root string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("the units are not verified: systemd-analyze is not installed")
		return
	}
	copied := t.TempDir()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"verify", "--man=no"}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Replace(f.Name(), "@", "@invoices", 1)
		here := strings.ReplaceAll(string(text), "/usr/bin/cxgctl", filepath.Join(root, "usr/bin/cxgctl"))
		if err := os.WriteFile(filepath.Join(copied, name), []byte(here), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(copied, name))
	}
	if out := succeeds(t, exec.CommandContext(t.Context(), "systemd-analyze", args...)); strings.Contains(out, copied) {
		t.Error(out)
	}
}

// runJobs runs every job of the package when all is well, when its lock is held, and when the database is down.
func runJobs(t *testing.T, root string) {
	t.Helper()
	binary := filepath.Join(root, "usr/bin/cxgctl")
	pair := dbtest.New(t, migrated)
	etc, state := configure(t, pair, binary), t.TempDir()
	credentials := filepath.Join(etc, "credentials")
	connect := func(url string) {
		t.Helper()
		text := "profile: prod\nprofiles:\n  prod: {manager_database_url: '" + url + "'}\n"
		if err := os.WriteFile(filepath.Join(etc, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	connect(pair.Manager)

	places := strings.NewReplacer("/usr/local/bin:/usr/bin", filepath.Join(root, "usr/bin")+":/usr/bin", "/usr/bin/cxgctl", binary,
		"/etc/cxgctl", etc, "/var/lib/cxgctl", state, "%i", "invoices", "%d", credentials)
	examples := filepath.Join(root, "usr/share/doc/cxgctl/examples")
	jobs := jobsOfCrontab(t, filepath.Join(examples, "crontab"), places)
	units, err := filepath.Glob(filepath.Join(root, "usr/lib/systemd/system/*.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range units {
		jobs = append(jobs, jobOfUnit(t, unit, filepath.Join(examples, "export-invoices.env"), places))
	}
	if len(jobs) != 6 {
		t.Fatalf("%d jobs: %v", len(jobs), jobs)
	}
	run := func(j job, want int) (stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), j.argv[0], j.argv[1:]...)
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = j.env, state, &out, &errs
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want || out.Len() > 0 {
			t.Errorf("%s: exit code %d, want %d: %s%s", j.name, got, want, out.String(), errs.String())
		}
		return errs.String()
	}
	for _, j := range jobs {
		if said := run(j, 0); said != "" {
			t.Errorf("%s: would be mailed although all is well: %s", j.name, said)
		}
	}
	glob(t, state, "invoices.csv")

	for _, j := range jobs {
		if !strings.Contains(strings.Join(j.argv, " "), "--lock") {
			continue
		}
		holder, free := holdLock(t, pair, j)
		if said := run(j, 75); strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "cxgctl: error: another run holds the lock") {
			t.Errorf("%s: overlapping, it says %q", j.name, said)
		}
		free()
		_ = holder.Wait()
	}

	connect("postgres://cxgctl@127.0.0.1:1/mgmt")
	for _, j := range jobs {
		for i := range j.argv { // the pauses alone take seconds
			j.argv[i] = regexp.MustCompile(`--retries 3`).ReplaceAllString(j.argv[i], "--retries 0")
		}
		for i, arg := range j.argv[:len(j.argv)-1] {
			if arg == "--retries" {
				j.argv[i+1] = "0"
			}
		}
		said := run(j, 8)
		if strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "cxgctl: error: cannot connect to the manager database: connection refused (127.0.0.1:1") {
			t.Errorf("%s: the database is down, it says %q", j.name, said)
		}
	}
}

// holdLock starts a job that waits for its rows, with the lock of the job in its hands.
func holdLock(t *testing.T, pair dbtest.Pair, j job) (holder *exec.Cmd, free func()) {
	t.Helper()
	blocker, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(t.Context(), "BEGIN; LOCK TABLE bill.invoices IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	holder = exec.CommandContext(t.Context(), j.argv[0], j.argv[1:]...)
	holder.Env = j.env
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	for ask(t, pair.Manager, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	return holder, func() { _ = blocker.Close(t.Context()) }
}

// jobsOfCrontab returns the jobs of a crontab, as cron runs them.
func jobsOfCrontab(t *testing.T, file string, places *strings.Replacer) (jobs []job) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch fields := strings.SplitN(line, " ", 6); {
		case line == "" || strings.HasPrefix(line, "#"):
		case len(fields) == 6:
			jobs = append(jobs, job{"cron: " + fields[5], []string{"/bin/sh", "-c", places.Replace(fields[5])}, env})
		default:
			env = append(env, places.Replace(line))
		}
	}
	return jobs
}

// jobOfUnit returns the command of a service, as systemd runs it.
func jobOfUnit(t *testing.T, file, environment string, places *strings.Replacer) job {
	t.Helper()
	j := job{name: filepath.Base(file)}
	variable := regexp.MustCompile(`\$[A-Z]+`)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "Environment":
			j.env = append(j.env, places.Replace(value))
		case "ExecStart":
			value = variable.ReplaceAllStringFunc(value, func(name string) string {
				text, err := os.ReadFile(environment)
				if err != nil {
					t.Fatal(err)
				}
				_, set, _ := strings.Cut(string(text), "\n"+name[1:]+"=")
				return strings.TrimSpace(set)
			})
			j.argv = strings.Fields(places.Replace(value))
		}
	}
	return j
}

// checkImage follows an image layout from its index to the binary in its layer. Each blob has the digest of its name.
func checkImage(t *testing.T, file string) {
	t.Helper()
	archive, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF { //nolint:errorlint // tar returns it as it is
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	type descriptor struct {
		Digest string
		Size   int
	}
	blob := func(d descriptor) []byte {
		t.Helper()
		name := strings.TrimPrefix(d.Digest, "sha256:")
		text := files["blobs/sha256/"+name]
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != name || len(text) != d.Size {
			t.Errorf("%s has another digest or size", name)
		}
		return text
	}
	var index struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var config struct {
		Architecture string
		Config       struct{ Entrypoint []string }
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode := func(text []byte, into any) {
		t.Helper()
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	decode(files["index.json"], &index)
	decode(blob(index.Manifests[0]), &manifest)
	decode(blob(manifest.Config), &config)
	layer, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(layer)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(content); "sha256:"+hex.EncodeToString(sum[:]) != config.RootFS.DiffIDs[0] || config.Architecture != runtime.GOARCH {
		t.Errorf("the configuration does not fit the layer: %+v", config)
	}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%q is not in the layer: %v", config.Config.Entrypoint, err)
		}
		if "/"+strings.TrimPrefix(h.Name, "./") == config.Config.Entrypoint[0] && h.Mode&0o111 == 0o111 {
			return
		}
	}
}
