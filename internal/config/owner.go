package config

import (
	"io/fs"
	"os"
	osuser "os/user"
	"slices"
	"strconv"
	"syscall"
)

// identity is who runs cxgctl: the effective user and group and, where root works for another user, that one's.
type identity struct{ uids, gids []int }

// user returns who runs cxgctl. SUDO_UID counts for root alone: anyone else could set it to what they like.
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

// ownership is what decides whether a configuration file of the working folder is trusted.
type ownership struct {
	owner, link int // the uids of the file's owner and of that of the link which leads to it, or once more the file's
	group       int
	mode        fs.FileMode
	folder      fs.FileMode
}

// whyDistrusts says why the user does not trust a file, or "". Root's files are another user's too: they may send an
// ordinary user's password elsewhere.
func (i identity) whyDistrusts(f ownership) string {
	for _, owner := range []int{f.owner, f.link} {
		if !i.is(owner) {
			return "belongs to another user (" + username(owner) + ")"
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

// ownerOf returns the uid of a file's owner, -1 where the system does not say.
func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

func groupOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Gid)
	}
	return -1
}

// username returns the name of a user, or the uid where it has none.
func username(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := osuser.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
