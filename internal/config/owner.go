package config

import (
	"io/fs"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/cxgctl/cxgctl/internal/outfile"
)

// identity is the effective user and group and, under sudo, those of the invoking user.
type identity struct{ uids, gids []int }

// currentIdentity returns the identity of the caller. SUDO_UID counts for root only, because anyone else can set it.
func currentIdentity(getenv func(string) string) identity {
	us := identity{[]int{os.Geteuid()}, []int{os.Getegid()}}
	if os.Geteuid() != 0 {
		return us
	}
	if uid, err := strconv.Atoi(getenv("SUDO_UID")); err == nil {
		us.uids = append(us.uids, uid)
	}
	if gid, err := strconv.Atoi(getenv("SUDO_GID")); err == nil {
		us.gids = append(us.gids, gid)
	}
	return us
}

func (i identity) is(uid int) bool { return slices.Contains(i.uids, uid) }

func (i identity) isGroup(gid int) bool { return slices.Contains(i.gids, gid) }

// ownership determines whether a configuration file of the working folder is trusted.
type ownership struct {
	owner, link int // uids of the owners of the file and of the link to it, or of the file twice
	group       int
	mode        fs.FileMode
	folder      fs.FileMode
}

// whyDistrusts returns why the user does not trust a file, or "". Root counts as another user, because its files may
// send an ordinary user's password elsewhere.
func (i identity) whyDistrusts(f ownership) string {
	for _, owner := range []int{f.owner, f.link} {
		if !i.is(owner) {
			return "belongs to another user (" + outfile.OwnerName(owner) + ")"
		}
	}
	switch {
	case f.mode.Perm()&0o002 != 0:
		return "can be changed by everyone"
	case f.mode.Perm()&0o020 != 0 && !i.isGroup(f.group):
		return "can be changed by a group that is not your own"
	case !f.mode.IsRegular():
		return "is not a regular file"
	case f.folder.Perm()&0o002 != 0:
		return "is in a folder that everyone can write to"
	}
	return ""
}

// ownersOf returns the uid and the gid of a file, or -1 if the system does not tell them.
func ownersOf(info fs.FileInfo) (uid, gid int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return -1, -1
}
