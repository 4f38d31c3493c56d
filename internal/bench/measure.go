package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// testCase is a set of contenders that do the same work; the first is the baseline.
type testCase struct {
	title      string
	prepare    func() error // before the first run; or nil
	before     func() error // before each run; or nil
	contenders []contender
}

// contender is one command line of a case.
type contender struct {
	name string
	argv []string
	env  []string
	goal string
	rows int // processed in a run. If they are given, ratios compare the time of a row.
	less int // index of the contender whose time is subtracted, such as the start of a command; 0 for none
}

// run is the cost of one run of a command.
type run struct {
	wall, cpu time.Duration
	peak      int64 // bytes of memory
}

// start runs a contender. Its output goes to a file, so it is neither kept in memory nor discarded for free.
func (b *bench) start(c contender) (run, error) {
	cmd := exec.CommandContext(b.ctx, c.argv[0], c.argv[1:]...)
	// A separate environment and home directory, so that the user's configuration has no effect.
	cmd.Env = append([]string{
		"HOME=" + b.dir, "XDG_DATA_HOME=" + b.dir, "PATH=" + os.Getenv("PATH"), "CXGCTL_OPERATOR=admin",
		"CXGCTL_MANAGER_DATABASE_URL=" + b.server.DSN("mgmt"),
	}, c.env...)
	cmd.Dir = b.dir
	out, err := os.Create(filepath.Join(b.dir, "stdout"))
	if err != nil {
		return run{}, err
	}
	defer func() { _ = out.Close() }()
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	began := time.Now()
	err = cmd.Run()
	r := run{wall: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if err != nil {
		return run{}, fmt.Errorf("%s: %w\n%s", c.name, err, stderr.String())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.peak = usage.Maxrss << 10
	}
	return r, nil
}

// clear removes the files that runs have written, so that the next one does not wait for their blocks.
func (b *bench) clear() error {
	out := b.file("")
	list, _ := os.ReadDir(out)
	if err := errors.Join(os.RemoveAll(out), os.Mkdir(out, 0o755)); err != nil {
		return err
	}
	if len(list) > 0 {
		syscall.Sync()
	}
	return nil
}

// measure runs the contenders in turns, so that disturbances affect all of them, and prints a line for each.
func (b *bench) measure(c testCase) error {
	if c.prepare != nil {
		if err := c.prepare(); err != nil {
			return err
		}
	}
	runs := make([][]run, len(c.contenders))
	began := time.Now()
	// The first round only warms the caches, if there is time for more.
	for round := 0; round <= b.rounds && (round == 0 || time.Since(began)*time.Duration(round+1)/time.Duration(round) < b.limit); round++ {
		if round == 1 {
			clear(runs)
		}
		for turn := range c.contenders {
			i := (turn + round) % len(c.contenders) // a run after a long one is slower
			if err := b.clear(); err != nil {
				return err
			}
			if c.before != nil {
				if err := c.before(); err != nil {
					return err
				}
			}
			r, err := b.start(c.contenders[i])
			if err != nil {
				return err
			}
			runs[i] = append(runs[i], r)
		}
	}
	b.print(c, runs)
	return nil
}

func (b *bench) print(c testCase, runs [][]run) {
	medians := make([]time.Duration, len(runs))
	for i, list := range runs {
		slices.SortFunc(list, func(a, b run) int { return int(a.wall - b.wall) })
		medians[i] = list[len(list)/2].wall
	}
	// cost is the time of a row, or of a run
	cost := func(i int) float64 {
		t := medians[i]
		if less := c.contenders[i].less; less > 0 {
			t -= medians[less]
		}
		return t.Seconds() / float64(max(1, c.contenders[i].rows))
	}
	title := c.title
	for i, one := range c.contenders {
		ratio, peak := fmt.Sprintf("%.2f", cost(i)/cost(0)), int64(0)
		if slices.ContainsFunc(c.contenders, func(other contender) bool { return i > 0 && other.less == i }) {
			ratio = "" // only subtracted
		}
		for _, r := range runs[i] {
			peak = max(peak, r.peak)
		}
		name := one.name
		if one.rows > 0 {
			name += fmt.Sprintf(" (%d: %v each)", one.rows, time.Duration(cost(i)*1e9).Round(10))
		}
		_, _ = fmt.Fprintf(b.w, "%s\t%s\t%s\t%s\t%s\t%d MB\t%s\t%s\t%d\n", title, name, ms(medians[i]), ms(runs[i][0].wall),
			ms(runs[i][len(runs[i])/2].cpu), peak/1e6, ratio, one.goal, len(runs[i]))
		title = ""
	}
}

// ms formats a duration in milliseconds, or seconds from ten on.
func ms(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
}
