package cmdutil

import (
	"testing"
)

// M6: a uid without an entry in the user database does not get the name from the environment.
func TestOSUser_UnknownUIDHasNoName(t *testing.T) {
	t.Setenv("USER", "root")
	t.Setenv("LOGNAME", "root")
	t.Setenv("HOME", "/root")
	if got := OSUser(34567); got != "uid:34567" {
		t.Errorf("uid 34567 is called %q", got)
	}
	if got := OSUser(0); got != "root" {
		t.Errorf("uid 0 is called %q", got)
	}
}
