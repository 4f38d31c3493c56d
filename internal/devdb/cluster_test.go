package devdb

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

func TestForeignDirectoriesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"other files": "thesis.txt", "another program's state": stateFile} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: t.TempDir()}
			if os.Geteuid() == 0 {
				top := room(t)
				if err := os.Mkdir(top.Dir, 0o755); err != nil {
					t.Fatal(err)
				}
				o.Dir = top.Dir
			}
			path := filepath.Join(o.Dir, file)
			if err := os.WriteFile(path, []byte(`{"made_by":"me"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Up(t.Context(), o)
			wantFault(t, err, fault.Database, o.Dir)
			wantFault(t, Reset(t.Context(), o), fault.Database, o.Dir)
			list, err := os.ReadDir(o.Dir)
			if err != nil || len(list) != 1 || list[0].Name() != file {
				t.Errorf("left in the directory: %v, %v", list, err)
			}
		})
	}
}

func TestLockHeldUntilTheDeadlineIsBusy(t *testing.T) {
	t.Parallel()
	o := room(t)
	if err := os.MkdirAll(o.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	unlock, err := cluster{dir: resolve(o.Dir)}.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Up(ctx, o)
	wantFault(t, err, fault.Busy, o.Dir)

	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("ctrl-c")
	stop(why)
	if _, err = Up(ctx, o); !errors.Is(err, why) {
		t.Errorf("a cancelled Up returned %v", err)
	}
}

func TestStateSurvivesSaving(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st := state{MadeBy: maker, BinDir: "/b", Version: "15.1", Databases: databases}
	if err := st.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := loadState(dir)
	a, _ := json.Marshal(st)
	b, _ := json.Marshal(got)
	if err != nil || string(a) != string(b) {
		t.Errorf("loadState = %s, %v, want %s", b, err, a)
	}
}
