// swift-tools-version: 6.2
// The map of the project: three rings, arrows point down (Documentation/ARCHITECTURE.md).
import PackageDescription

/// Settings of every Swift target: the strictest the toolchain offers.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

func target(
    _ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil
) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

func program(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .executableTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name,
        dependencies: dependencies,
        exclude: [
            "FECTests", "ImageFormatTests", "MenuTests", "ServerTests", "SessionProtocolTests",
        ].contains(name) ? ["Golden"] : [],
        swiftSettings: strict)
}

func library(_ name: String, pkgConfig: String, apt: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let package = Package(
    name: "img",
    products: [
        .executable(name: "img", targets: ["img"]),
        .executable(name: "imgserv", targets: ["imgserv"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        // The server alone: store, HTTP, pages, logs. Nothing of it is in the initrd.
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        // What Hummingbird is made of, where the server says more than Hummingbird's own words can.
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        // C: a module map and a shim of what Swift cannot call.
        .target(name: "CLinux"),
        .target(name: "CNewt", linkerSettings: [.linkedLibrary("newt")]),
        library("CParted", pkgConfig: "libparted", apt: "libparted-dev"),
        library("CBlkid", pkgConfig: "blkid", apt: "libblkid-dev"),
        library("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
        library("CZstd", pkgConfig: "libzstd", apt: "libzstd-dev"),
        library("CISAL", pkgConfig: "libisal", apt: "libisal-dev"),
        library("CFuse", pkgConfig: "fuse3", apt: "libfuse3-dev"),

        // Pure: bytes in, values out.
        target("Blocks", [crypto]),
        target("ImageFormat", ["Blocks", "CZlib", "CZstd"]),
        target("FEC", ["CISAL"]),
        target("SessionProtocol", ["FEC", "Blocks", crypto]),

        // Machine: the kernel, disks and sockets.
        target("Linux", ["CLinux", system]),
        target("Disk", ["Linux", "Blocks", "CParted", "CBlkid", system]),
        target("Overlay", ["Linux", "Blocks", "CFuse", system]),
        target("SessionTransport", ["SessionProtocol", "Linux", "Blocks", system]),

        // Work: capture, restore and hosting.
        target(
            "Imaging",
            [
                "Blocks", "ImageFormat", "SessionProtocol", "Linux", "Disk", "Overlay", "SessionTransport",
                system,
            ]),
        target("Fixup", ["Disk", "Linux", "Blocks", system]),
        target(
            "Server",
            [
                "Blocks", "ImageFormat", "SessionProtocol", "Linux", "SessionTransport", system, crypto,
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Mustache", package: "swift-mustache"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ],
            // The console's pages, style and script and the API's document are part of the program.
            resources: [.embedInCode("Console/Pages"), .embedInCode("HTTP/openapi.json")]),

        // Programs.
        program("img", ["Imaging", "Fixup", "Linux", "Blocks", "CNewt", arguments]),
        // Install: the systemd unit and what belongs to it; `make install` copies them.
        program(
            "imgserv", ["Server", "SessionProtocol", "Linux", "Blocks", arguments], exclude: ["Install"]),

        // Tests.
        .target(
            name: "TestSupport", dependencies: ["Blocks", "Linux", system], path: "Tests/TestSupport",
            swiftSettings: strict),
        tests("BlocksTests", ["Blocks", "TestSupport"]),
        tests("FECTests", ["FEC", "TestSupport"]),
        tests("ImageFormatTests", ["ImageFormat", "Blocks", "TestSupport"]),
        .target(
            name: "SessionSimulation", dependencies: ["SessionProtocol", "Blocks"],
            path: "Tests/SessionSimulation", swiftSettings: strict),
        tests("SessionProtocolTests", ["SessionProtocol", "SessionSimulation", "Blocks", "TestSupport"]),
        .executableTarget(
            name: "simulate", dependencies: ["SessionSimulation", "Linux", "Blocks"],
            path: "Benchmarks/simulation", swiftSettings: strict),
        tests("LinuxTests", ["Linux", "TestSupport", system]),
        tests("DiskTests", ["Disk", "Linux", "Blocks", "TestSupport", system]),
        tests("OverlayTests", ["Overlay", "Linux", "Blocks", "TestSupport", "img", system]),
        tests(
            "SessionTransportTests",
            [
                "SessionTransport", "SessionProtocol", "Server", "ImageFormat", "Linux", "Blocks",
                "TestSupport",
                "img", "imgserv",
            ]),
        tests(
            "ImagingTests",
            [
                "Imaging", "Disk", "Overlay", "ImageFormat", "SessionProtocol", "SessionTransport", "Linux",
                "Blocks", "TestSupport", "img", system,
            ]),
        tests(
            "ServerTests",
            [
                "Server", "ImageFormat", "SessionTransport", "SessionProtocol", "Linux", "Blocks",
                "TestSupport", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        tests("FixupTests", ["Fixup", "Disk", "Linux", "Blocks", "TestSupport", "img"]),
        tests("CommandTests", ["img", "imgserv", "Linux", "TestSupport"]),
        tests("MenuTests", ["img", "Linux", "Blocks", "TestSupport"]),
    ]
)

// The benchmark of FEC exists only when Benchmarks/fec/run asks for it.
if Context.environment["IMG_BENCH"] == "1" {
    package.targets.append(
        .executableTarget(
            name: "fec-benchmark", dependencies: ["FEC"], path: "Benchmarks/fec", exclude: ["run"],
            swiftSettings: strict))
}

// Fuzz targets exist only when Tests/Fuzz/run asks for them: they need libFuzzer and lld.
if Context.environment["IMG_FUZZ"] == "1" {
    let instrumented: [SwiftSetting] = [.unsafeFlags(["-sanitize=fuzzer"])]
    for target in package.targets where ["Blocks", "ImageFormat", "SessionProtocol"].contains(target.name) {
        target.swiftSettings = (target.swiftSettings ?? []) + instrumented
    }
    func fuzzer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
        .executableTarget(
            name: name,
            dependencies: dependencies + ["FuzzDriver"],
            path: "Tests/Fuzz/\(name)",
            swiftSettings: strict + instrumented,
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])])
    }
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .target(
            name: "FuzzDriver", dependencies: ["CFuzzer"], path: "Tests/Fuzz/FuzzDriver",
            swiftSettings: strict),
        fuzzer("FuzzImageFile", ["ImageFormat", "Blocks"]),
        fuzzer("FuzzFrame", ["ImageFormat", "Blocks"]),
        fuzzer("FuzzManifest", ["ImageFormat", "Blocks"]),
        fuzzer("FuzzSession", ["SessionProtocol", "Blocks"]),
    ]
}
