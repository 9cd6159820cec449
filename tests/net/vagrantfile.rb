# SPDX-License-Identifier: GPL-3.0-or-later
# Reads a Vagrantfile as Vagrant would, knows no word of it but those that are below, and prints a line of JSON that says what is in it.
# Then, for each line on stdin, WHEN ACTION NAME (before|after, up|..., a machine), it does what its triggers do, and prints a line of JSON:
# what was said, and which order failed. Machines are processes: PID NAME.. in the arguments, whose namespaces and root orders are run in.
require "json"
require "open3"
require "pathname"

class Failed < RuntimeError; end

Said = Struct.new(:lines) do
  %i[info detail warn].each { |kind| define_method(kind) { |text| lines << text } }
end

Talk = Struct.new(:pid) do
  def ready?
    File.exist?("/proc/#{pid}")
  end

  def sudo(order)
    out, err, status = Open3.capture3("nsenter", "--target", pid, "--mount", "--uts", "--root", "--wd", "/bin/sh", "-c", order)
    yield :stdout, out if block_given? && !out.empty?
    yield :stderr, err if block_given? && !err.empty?
    raise Failed, "#{order}: #{err}" unless status.success?
  end
end

Machine = Struct.new(:name, :communicate, :ui, :provider_name)

Environment = Struct.new(:machines, :local_data_path) do
  def active_machines
    machines.map { |name, _| [name, :libvirt] }
  end

  def machine(name, _provider)
    Vagrant::CONFIG.vm.said[:defined].key?(name.to_s) ? machines.fetch(name) : raise(Failed, "no machine #{name}")
  end
end

Box = Struct.new(:hostname, :box) do
  def said
    @said ||= { networks: [], provisioners: [], folders: [], defined: {}, providers: {} }
  end

  def network(kind, **options)
    said[:networks] << { kind: kind, **options }
  end

  def provision(kind, path:, args:, env:)
    said[:provisioners] << { kind: kind, path: path, args: args, env: env }
  end

  def synced_folder(host, guest, type: nil, disabled: false, rsync__args: [], rsync__exclude: [])
    said[:folders] << { host: host, guest: guest, type: type, disabled: disabled, args: rsync__args, exclude: rsync__exclude }
  end

  def provider(name)
    yield said[:providers][name] = PROVIDERS.fetch(name).new
  end

  def define(name, primary: false)
    config = Config.new(Box.new)
    yield config
    said[:defined][name] = { primary: primary, hostname: config.vm.hostname, **config.vm.said }
  end
end

PROVIDERS = { libvirt: Struct.new(:driver, :memory, :cpus, :graphics_type, :management_network_mode,
                                   :management_network_name, :management_network_address),
              virtualbox: Struct.new(:memory, :cpus, :linked_clone) }.freeze

Trigger = Struct.new(:name, :info, :block) do
  def ruby(&block)
    self.block = block
  end
end

Triggers = Struct.new(:all) do
  %i[before after].each do |time|
    define_method(time) do |actions, &block|
      all << [time, actions.map(&:to_s), Trigger.new.tap(&block)]
    end
  end
end

Config = Struct.new(:vm) do
  def trigger
    @trigger ||= Triggers.new([])
  end
end

module Vagrant
  CONFIG = Config.new(Box.new)
  def self.configure(version)
    raise "configuration of version #{version}" unless version == "2"
    yield CONFIG
  end
end

PROVIDER = ENV.fetch("PROVIDER", "libvirt").to_sym
file, data, *machines = ARGV
load file
config = Vagrant::CONFIG
providers = config.vm.said[:providers].transform_values(&:to_h)
puts JSON.generate({ **config.vm.said, box: config.vm.box, providers: providers, triggers: config.trigger.all.map { |time, actions, _| [time, actions] } })
$stdout.flush
lines = []
known = machines.each_slice(2).to_h { |pid, name| [name.to_sym, Machine.new(name.to_sym, Talk.new(pid), Said.new(lines), PROVIDER)] }
environment = Environment.new(known, Pathname.new(data))
$stdin.each_line do |line|
  time, action, name = line.split
  failed = nil
  lines.clear
  config.trigger.all.each do |at, actions, trigger|
    trigger.block.call(environment, known.fetch(name.to_sym)) if at.to_s == time && actions.include?(action)
  rescue Failed, SystemExit => e
    failed = e.message
  end
  puts JSON.generate({ said: lines, failed: failed })
  $stdout.flush
end
