// What holds for workstations that no session claims, and which of them another server serves.
internal import Blocks

extension Page {
    /// Empty lines below the referrals, for new ones.
    private static let spareReferrals = 2

    package static func settings(
        _ policy: PolicyView, referrals: [ReferralView], images: [ImageView], policyError: String? = nil,
        referralsError: String? = nil
    ) -> Page {
        let actions = [
            ("nothing", "Nothing", "They go on to their local disk."),
            ("restore", "Restore an image", "Their disks are overwritten."),
            ("capture", "Capture", "Their disks become an image of this server, named after them."),
            ("shell", "Shell", "They stop at a prompt."),
        ]
        let spare = [ReferralView](
            repeating: ReferralView(workstations: "", server: ""), count: spareReferrals)
        var fields: Fields = [
            "actions": actions.map { one -> Fields in
                ["value": one.0, "label": one.1, "detail": one.2, "selected": one.0 == policy.action]
            },
            "imageOptions": options(images, chosen: policy.image ?? ""), "always": policy.always,
            "referrals": (referrals + spare).enumerated().map { index, one -> Fields in
                ["index": index, "workstations": one.workstations, "server": one.server]
            },
        ]
        fields["policyError"] = policyError.map(Words.sentence)
        fields["referralsError"] = referralsError.map(Words.sentence)
        return Page("settings", "Settings", .settings, fields)
    }

    /// The policy that was posted.
    package static func policy(_ posted: FormFields) -> PolicyView {
        let action = posted["action"] ?? ""
        return PolicyView(
            action: action, image: action == "restore" ? posted["image"]?.nonEmpty : nil,
            always: posted["always"] != nil)
    }

    /// The referrals that were posted, without the lines that are empty.
    package static func referrals(_ posted: FormFields) -> [ReferralView] {
        zip(posted.all("workstations"), posted.all("server")).map {
            ReferralView(workstations: $0.trimmingSpaces, server: $1.trimmingSpaces)
        }.filter { !$0.workstations.isEmpty || !$0.server.isEmpty }
    }
}
